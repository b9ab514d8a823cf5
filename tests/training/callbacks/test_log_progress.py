"""Where there is no terminal, Lightning's progress bar leaves nothing in the log."""

import logging

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


def test_the_bar_is_named_after_what_is_trained():
    """And not after the epoch, of which a run has one."""
    assert StepBar("training")._get_train_description(0) == "training"
    assert RichProgressBar._get_train_description  # Lightning's own, which is overridden
