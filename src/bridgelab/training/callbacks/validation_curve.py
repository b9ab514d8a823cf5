"""Validation while a bridge trains."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl

from bridgelab.training.lightning_module import step_is_done
from bridgelab.training.loggers.csv_logger import MetricsCsv

log = logging.getLogger(__name__)
Validate = Callable[[Any], dict[str, float]]  # of a BridgedModel, or of an Alignment


class ValidationCurve(pl.Callback):
    """Validate at evenly spaced steps, the last one included, and before the first on demand; the points survive a restart.

    This is no `validation_step`, for three reasons. Lightning validates every `val_check_interval` batches, a whole number:
    5 points of 12 steps, or a last step between two intervals, cannot be had. It validates after all `on_train_batch_end`
    callbacks, so that a checkpoint of that step lacks the point, and a run killed in between goes on without it. And it shares
    a val loader over processes by padding it, while `validate` shares exactly the batches that one process would take, which
    keeps scores the same to the last bit. `tests/training/callbacks/test_validation_curve.py` shows the first two.

    Args:
        validate: returns the model's `val/loss` and, unless val has captions alone, `val/accuracy`. All processes call it
            together and share its work.
        points: number of validations.
        files: loggers that Lightning does not call itself.
        at_start: validate before the first step too, for a bridge that starts from trained weights.

    Attributes:
        curve: (step, validation accuracy); with captions alone, the geometric mean of a token's probability.
        seconds: that this process spent on them.
    """

    def __init__(self, validate: Validate, points: int, files: Sequence[MetricsCsv], at_start: bool = False):
        self.validate, self.points, self.files, self.at_start = validate, points, files, at_start
        self.curve: list[tuple[int, float]] = []
        self.seconds = 0.0

    @property
    def state_key(self) -> str:
        """The name under which checkpoints hold the points."""
        return "Curve"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the weights that training starts from, unless it resumes."""
        if self.at_start and trainer.global_step == 0:
            self._validate(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate if a point is due."""
        step, steps = trainer.global_step, trainer.max_steps
        if self.points * step // steps == self.points * (step - 1) // steps:
            return
        if step_is_done(trainer, batch_idx):
            self._validate(trainer, pl_module)

    def _validate(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a point to the curve, and log it."""
        step, steps, clock = trainer.global_step, trainer.max_steps, time.monotonic()
        values = self.validate(pl_module.model)
        self.seconds += time.monotonic() - clock
        # The probability of a token lies between 0 and 1 and rises with learning, as an accuracy does.
        self.curve.append((step, values.get("val/accuracy", math.exp(-values["val/loss"]))))
        if not trainer.is_global_zero:
            return
        for logger in (*self.files, *trainer.loggers):
            logger.log_metrics(values, step)
        log.info("step %d of %d: %s", step, steps, ", ".join(f"{k} {v:.4f}" for k, v in values.items()))

    def state_dict(self) -> dict[str, Any]:
        """Return the points."""
        return {"curve": [list(point) for point in self.curve]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the points."""
        self.curve = [(int(step), float(value)) for step, value in state_dict["curve"]]
