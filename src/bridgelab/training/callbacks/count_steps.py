"""Steps that a run's process has trained, written to its folder for the sweep's time left."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bridgelab.runs.steps_done import FILE, StepsDone
from bridgelab.training.lightning_module import step_is_done

WRITE_SECONDS = 1.0  # between two writes, at least


class StepsFile:
    """The steps of all trainings of one run's process, and the file that tells of them.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self.folder, self.done, self.written = folder, StepsDone(), -WRITE_SECONDS
        self.remove()  # what an earlier attempt left

    def write(self, now: float) -> None:
        """Write the file, unless it was written a moment ago.

        Args:
            now: seconds of the monotonic clock.
        """
        if now - self.written >= WRITE_SECONDS:
            self.written = now
            self.done.write(self.folder)

    def remove(self) -> None:
        """Delete the file."""
        (self.folder / FILE).unlink(missing_ok=True)


class CountSteps(pl.Callback):
    """Count the steps of one training, the first process alone.

    Args:
        file: of the run.
        label: what is trained.
        trial: whether it is a trial of the search.
        branch: whether it begins at another training's checkpoint, whose steps are not its own.
    """

    def __init__(self, file: StepsFile, label: str, *, trial: bool, branch: bool):
        self.file, self.label, self.trial, self.branch = file, label, trial, branch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        done = self.file.done
        self.clock = time.monotonic()
        done.label, done.step, done.steps = self.label, trainer.global_step, trainer.max_steps
        if not (self.trial or self.branch):
            done.trained += trainer.global_step  # of earlier attempts

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step."""
        if not (trainer.is_global_zero and step_is_done(trainer, batch_idx)):
            return
        done, now = self.file.done, time.monotonic()
        done.seconds, self.clock = done.seconds + now - self.clock, now
        done.step, done.timed = trainer.global_step, done.timed + 1
        if self.trial:
            done.searched += 1
        else:
            done.trained += 1
        if done.step == done.steps:
            self.file.written = -WRITE_SECONDS  # the last count of a training is always written
        self.file.write(now)
