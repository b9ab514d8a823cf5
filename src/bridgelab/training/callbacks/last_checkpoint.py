"""`last.ckpt`, readable at any moment."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bridgelab.atomic import sync
from bridgelab.training.attempts import BEFORE, Attempts
from bridgelab.training.checkpoint import PREVIOUS
from bridgelab.training.lightning_module import step_is_done


class LastCheckpoint(pl.Callback):
    """Save every few steps and at the last one: write to a temporary path, wait for the disk, then rename.

    Lightning's `ModelCheckpoint` lacks two things that runs rely on: it does not save a last step that is not a multiple of
    `every_n_train_steps`, and under one file name it keeps no earlier checkpoint to fall back on if a disk spoils the last.
    `tests/training/callbacks/test_last_checkpoint.py` shows both.

    Place it after `ValidationCurve` and `CsvRows`, whose work at a step it saves. The checkpoint before the last is kept as
    `previous.ckpt` until the run ends.

    Args:
        path: of the checkpoint.
        every: steps between two of them.
        attempts: at the run; None if nobody asks for them.

    Attributes:
        seconds: trained so far, over all attempts.
    """

    def __init__(self, path: Path, every: int, attempts: Attempts | None = None):
        self.path, self.every, self.attempts = path, every, attempts
        self.seconds = 0.0
        self._clock = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Start the clock."""
        self._clock = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a checkpoint is due."""
        due = trainer.global_step % self.every == 0 or trainer.global_step >= trainer.max_steps
        if due and step_is_done(trainer, batch_idx):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Save; all processes call this together."""
        self.seconds, self._clock = self.seconds + time.monotonic() - self._clock, time.monotonic()
        partial = self.path.with_suffix(".part")
        trainer.save_checkpoint(partial, weights_only=False)  # with the optimizer and the loops
        if trainer.is_global_zero:
            sync(partial)
            previous = self.path.with_name(PREVIOUS)
            if self.path.exists():
                os.replace(self.path, previous)
            os.replace(partial, self.path)
            if trainer.global_step >= trainer.max_steps:
                previous.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds trained, up to now: checkpoints of smaller budgets are written between two saves."""
        attempts = {"attempts": self.attempts.state()} if self.attempts else {}
        return {"seconds": self.seconds + time.monotonic() - self._clock} | attempts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds trained, and the attempts that they were trained in."""
        self.seconds = float(state_dict["seconds"])
        if self.attempts:
            self.attempts.load(state_dict.get("attempts", {BEFORE: {"seconds": self.seconds}}))
