"""Progress of a training in the log."""

import logging
import time
from typing import Any

import pytorch_lightning as pl
import torch

from bridgelab.training.lightning_module import step_is_done

log = logging.getLogger(__name__)


class LogProgress(pl.Callback):
    """Log a line with the time left at each tenth of the steps.

    For runs without a terminal, such as the jobs of a sweep. There Lightning's `RichProgressBar` writes nothing to the log:
    see `tests/training/callbacks/test_log_progress.py`. On a terminal the bar is used.

    Args:
        label: what is trained.
    """

    def __init__(self, label: str):
        self.label = label

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock."""
        self.clock, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a line if a tenth is done."""
        step, steps = trainer.global_step, trainer.max_steps
        if not step_is_done(trainer, batch_idx):
            return
        if 10 * step // steps == 10 * (step - 1) // steps or not trainer.is_global_zero:
            return
        seconds = (time.monotonic() - self.clock) / max(1, step - self.first)
        loss = trainer.callback_metrics.get("train/loss", torch.tensor(float("nan")))
        log.info(
            "%s: step %d of %d, loss %.3f, %.0f ms a step, %.0f s left",
            *(self.label, step, steps, float(loss), 1e3 * seconds, seconds * (steps - step)),
        )
