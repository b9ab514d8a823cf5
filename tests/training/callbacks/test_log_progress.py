"""Where there is no terminal, Lightning's progress bar leaves nothing in the log."""

import logging
import re
import sys
import time

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.demos.boring_classes import BoringModel
from tiny_training import train

from bridgelab.training.callbacks.log_progress import LogProgress, StepBar


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("callback", "lines"), [(RichProgressBar(leave=True), 0), (LogProgress("training"), 10)]
)
def test_a_log_has_a_line_each_tenth(callback, lines, tmp_path, caplog):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=25,
        limit_val_batches=0,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=isinstance(callback, RichProgressBar),
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with caplog.at_level(logging.INFO):
        trainer.fit(BoringModel())
    own = [message for message in caplog.messages if "step" in message and "left" in message]
    assert len(own) == lines
    assert all(message.startswith("training: step ") for message in own)


def test_a_step_lasts_as_long_as_it_trains_and_the_time_left_counts_evaluations(
    tmp_path, tiny_text, monkeypatch, caplog
):
    """Each of four evaluations takes 100 s, by a clock that they alone set forward; the steps take moments."""
    real, evaluated = time.monotonic, []

    def validate(_):
        evaluated.append(100)
        return {"val/accuracy": 0.5, "val/loss": 1.0}

    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(evaluated))
    with caplog.at_level(logging.INFO):
        train(tiny_text, tmp_path, validate=validate)
    lines = [re.search(r"step (\d+) of 12.* (\d+) ms a step, (\d+) s left", line) for line in caplog.messages]
    by_step = {int(line[1]): (int(line[2]), int(line[3])) for line in lines if line}
    assert len(evaluated) == 4
    assert all(milliseconds < 10_000 for milliseconds, _ in by_step.values()), by_step
    assert 200 <= by_step[6][1] < 250  # as long again as the first half took


def test_a_run_whose_output_is_piped_has_lines_in_place_of_a_bar(tiny_text, monkeypatch, caplog):
    """As with `| tee log.txt`: Lightning draws its bar on standard output."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with caplog.at_level(logging.INFO):
        train(tiny_text, progress_bar=True)
    assert any(line.startswith("training: step 12 of 12, loss ") for line in caplog.messages)


def test_the_bar_is_named_after_what_is_trained():
    """And not after the epoch, of which a run has one."""
    assert StepBar("training")._get_train_description(0) == "training"
    assert RichProgressBar._get_train_description  # Lightning's own, which is overridden
