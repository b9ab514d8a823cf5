"""Progress of a training: lines in the log, or a bar on a terminal."""

import logging
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import RichProgressBar

from bridgelab.training.callbacks.validation_curve import ValidationCurve
from bridgelab.training.lightning_module import step_is_done

log = logging.getLogger(__name__)


class LogProgress(pl.Callback):
    """Log a line with the time left at each tenth of the steps.

    For runs without a terminal, such as the jobs of a sweep. There Lightning's `RichProgressBar` writes nothing to the log:
    see `tests/training/callbacks/test_log_progress.py`. On a terminal the bar is used.

    Args:
        label: what is trained.
        curve: the training's evaluations on val, whose seconds are part of the time left and of no step; None for none.
    """

    def __init__(self, label: str, curve: ValidationCurve | None = None):
        self.label, self.curve = label, curve

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clocks."""
        self.clock, self.first = time.monotonic(), trainer.global_step
        self.validated = self._validating()  # before the first step

    def _validating(self) -> float:
        return self.curve.seconds if self.curve else 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a line if a tenth is done."""
        step, steps = trainer.global_step, trainer.max_steps
        if not step_is_done(trainer, batch_idx):
            return
        if 10 * step // steps == 10 * (step - 1) // steps or not trainer.is_global_zero:
            return
        done, seconds = max(1, step - self.first), time.monotonic() - self.clock
        of_steps = seconds - (self._validating() - self.validated)
        loss = trainer.callback_metrics.get("train/loss", torch.tensor(float("nan")))
        log.info(
            "%s: step %d of %d, loss %.3f, %.0f ms a step, %.0f s left",
            *(self.label, step, steps, float(loss)),
            *(1e3 * of_steps / done, seconds / done * (steps - step)),
        )


class StepBar(RichProgressBar):
    """Lightning's bar, named after what is trained: a run has one epoch, which Lightning would count from 0.

    Args:
        label: what is trained.
    """

    def __init__(self, label: str):
        super().__init__(leave=True)
        self.label = label

    def _get_train_description(self, current_epoch: int) -> str:
        return self.label
