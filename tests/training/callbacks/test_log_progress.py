"""Where there is no terminal, Lightning's progress bar leaves nothing in the log."""

import logging
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.demos.boring_classes import BoringModel

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


def test_a_step_lasts_as_long_as_it_trains_and_the_time_left_counts_evaluations(monkeypatch, caplog):
    """Five steps of .2 s and one evaluation of 10 s: 200 ms a step, and 11 s for the five that are left."""
    now = iter([0.0, 0.2, 10.2, 11.0])  # start; the evaluation starts, ends; the fifth step ends
    monkeypatch.setattr("bridgelab.training.callbacks.log_progress.time.monotonic", lambda: next(now))
    callback = LogProgress("training")
    trainer = SimpleNamespace(
        global_step=0, max_steps=10, is_global_zero=True, callback_metrics={}, accumulate_grad_batches=1
    )
    callback.on_train_start(trainer)
    callback.on_validation_start(trainer)
    callback.on_validation_end(trainer)
    trainer.global_step = 5
    with caplog.at_level(logging.INFO):
        callback.on_train_batch_end(trainer, None, None, None, 4)
    assert caplog.messages[0].endswith("200 ms a step, 11 s left")


def test_the_bar_is_named_after_what_is_trained():
    """And not after the epoch, of which a run has one."""
    assert StepBar("training")._get_train_description(0) == "training"
    assert RichProgressBar._get_train_description  # Lightning's own, which is overridden
