"""One training run by Lightning: the curve, the last checkpoint, and a word on how long it will take."""

import logging
import math
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from bridgelab.data.batches import TrainingBatches
from bridgelab.model import BridgedModel
from bridgelab.runs.atomic import atomic_path
from bridgelab.training.budgets import BranchCheckpoints
from bridgelab.training.callbacks.finite import Finite, memory_told
from bridgelab.training.callbacks.preemption import Preemption
from bridgelab.training.lightning_module import BridgeTraining, step_is_done, warmup_then
from bridgelab.training.loggers.csv_logger import MetricsCsv

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
Validate = Callable[[BridgedModel], dict[str, float]]


class ShareBatches(pl.Callback):
    """Tell the sampler which of several processes this is, and in how many parts it takes a batch, once that is known."""

    def __init__(self, batches: TrainingBatches):
        self.batches = batches

    def setup(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Set the sampler's rank."""
        parts = trainer.accumulate_grad_batches
        self.batches.sampler.share_out(trainer.global_rank, trainer.world_size, parts)


class Curve(pl.Callback):
    """Validate at evenly spaced steps, the last one included; the points so far survive a restart.

    Args:
        validate: the model's validation metrics, `val/loss` and, unless val has captions alone, `val/accuracy` among them; called
            in all processes at once, which share it.
        points: how many times.
        files: told of them, as Lightning's loggers are.
    """

    def __init__(self, validate: Validate, points: int, files: Sequence[MetricsCsv]):
        self.validate, self.points, self.files = validate, points, files
        self.curve: list[tuple[int, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Validate if it is time."""
        step, steps = trainer.global_step, trainer.max_steps
        if self.points * step // steps == self.points * (step - 1) // steps:
            return
        if not step_is_done(trainer, batch_idx):
            return
        values = self.validate(pl_module.model)  # type: ignore[arg-type]
        # Of captions alone the probability of a token, its geometric mean: from 0 to 1 and rising, as an accuracy.
        self.curve.append((step, values.get("val/accuracy", math.exp(-values["val/loss"]))))
        if not trainer.is_global_zero:
            return
        for logger in (*self.files, *trainer.loggers):
            logger.log_metrics(values, step)
        log.info("step %d of %d: %s", step, steps, ", ".join(f"{k} {v:.4f}" for k, v in values.items()))

    def state_dict(self) -> dict[str, Any]:
        """The points."""
        return {"curve": [list(point) for point in self.curve]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The points."""
        self.curve = [(int(step), float(value)) for step, value in state_dict["curve"]]


class Rows(pl.Callback):
    """The row of each logged step in `metrics.csv`.

    Before `LastCheckpoint`: Lightning tells its own loggers of a step after all callbacks, and a run that was killed between the
    checkpoint and the row would go on without it.
    """

    def __init__(self, files: Sequence[MetricsCsv], every: int):
        self.files, self.every = files, every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write it, if it is time."""
        if step_is_done(trainer, batch_idx) and trainer.global_step % self.every == 0:
            row = {name: float(value) for name, value in trainer.callback_metrics.items()}
            for file in self.files:
                file.log_metrics(row, trainer.global_step)


class LastCheckpoint(pl.Callback):
    """`last.ckpt`, whole at any moment: written aside, then renamed. After `Curve`, whose points it holds, and `Rows`.

    While training goes on the one before it is kept as `previous.ckpt`, should a disk spoil the last.
    """

    def __init__(self, path: Path, every: int):
        self.path, self.every = path, every
        self.seconds = 0.0
        self._began = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time."""
        due = trainer.global_step % self.every == 0 or trainer.global_step >= trainer.max_steps
        if due and step_is_done(trainer, batch_idx):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Save, in all processes at once."""
        self.seconds, self._began = self.seconds + time.monotonic() - self._began, time.monotonic()
        aside = self.path.with_suffix(".part")
        trainer.save_checkpoint(aside, weights_only=False)  # with the optimizer and the loops
        if trainer.is_global_zero:
            previous = self.path.with_name(PREVIOUS)
            if self.path.exists():
                os.replace(self.path, previous)
            os.replace(aside, self.path)
            if trainer.global_step >= trainer.max_steps:
                previous.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """Seconds trained, over all attempts."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Seconds trained, over all attempts."""
        self.seconds = float(state_dict["seconds"])


def save_untrained(model: BridgedModel, identity: dict[str, str], path: Path) -> None:
    """`last.ckpt` of a bridge as it begins, for what reads a trained one's."""
    module = BridgeTraining(model, optimizer=torch.optim.AdamW, schedule=lambda _: 1.0, identity=identity)
    checkpoint = {"state_dict": module.state_dict(), "global_step": 0}
    module.on_save_checkpoint(checkpoint)
    with atomic_path(path) as aside:
        torch.save(checkpoint, aside)


def whole_checkpoint(directory: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run that can be read, and its step; None where there is none at all.

    Raises:
        ValueError: if there are some and none can be read.
    """
    spoiled = []
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            with zipfile.ZipFile(path) as parts:  # torch itself does not compare the checksums that it writes
                if part := parts.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {part} does not fit")
            step = int(torch.load(path, map_location="cpu", weights_only=True)["global_step"])
        except Exception as error:  # a torn zip file raises whatever its reader does
            spoiled.append(f"{path} can't be read ({type(error).__name__}: {error})")
            continue
        if spoiled:
            log.warning("%s: going on from %s, step %d", spoiled[0], path, step)
        return path, step
    if spoiled:
        raise ValueError(
            f"{'; '.join(spoiled)}: a run goes on from a whole checkpoint. Remove it to start this run anew."
        )
    return None


class LogProgress(pl.Callback):
    """Where there is no terminal: a line each tenth of the way, with the time left."""

    def __init__(self, label: str):
        self.label = label

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock."""
        self.began, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say how far it is."""
        step, steps = trainer.global_step, trainer.max_steps
        if not step_is_done(trainer, batch_idx):
            return
        if 10 * step // steps == 10 * (step - 1) // steps or not trainer.is_global_zero:
            return
        each = (time.monotonic() - self.began) / max(1, step - self.first)
        loss = trainer.callback_metrics.get("train/loss", torch.tensor(float("nan")))
        log.info(
            "%s: step %d of %d, loss %.3f, %.0f ms a step, %.0f s left",
            *(self.label, step, steps, float(loss), 1e3 * each, each * (steps - step)),
        )


def fit(
    model: BridgedModel,
    batches: TrainingBatches,
    *,
    trainer: Callable[..., pl.Trainer],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Mapping[str, Any],
    identity: dict[str, str],
    validate: Validate | None,
    points: int = 10,
    directory: Path | None = None,
    loggers: list[Logger] | None = None,
    save_every: int = 200,
    log_every: int = 10,
    label: str = "training",
    terminal: bool = False,
    end: int | None = None,
    begin: Path | None = None,
    branches: Mapping[Path, int] | None = None,
) -> tuple[list[tuple[int, float]], float]:
    """Train a bridge to the end of its batches, going on from `last.ckpt` where the directory has one.

    Args:
        trainer: keyword arguments -> Trainer.
        validate: None trains without validation.
        directory: where `last.ckpt` goes; None keeps nothing.
        terminal: show a progress bar; else log lines.
        end: the step to stop at, before the batches end: of a smaller budget, which cools down by then.
        begin: a checkpoint to go on from, where the directory has none.
        branches: checkpoints to keep for smaller budgets, and the step after which each is written.
    Returns:
        The curve [(step, validation accuracy, or of captions alone $e^{-loss}$)] and the seconds trained.
    """
    steps = end or len(batches.sampler)
    log_every = min(log_every, steps)
    files = [logger for logger in loggers or [] if isinstance(logger, MetricsCsv)]
    curve = Curve(validate, points, files) if validate else None
    last = LastCheckpoint(directory / LAST if directory else Path(os.devnull), save_every)
    callbacks: list[pl.Callback] = [ShareBatches(batches)] + ([curve] if curve else [])
    if terminal:
        from pytorch_lightning.callbacks import RichProgressBar

        callbacks.append(RichProgressBar(leave=True))
    else:
        callbacks.append(LogProgress(label))
    if directory:
        callbacks += [Finite(batches, directory), Rows(files, log_every)]
    if branches:
        callbacks.append(BranchCheckpoints(branches))
    if directory:
        callbacks += [last, Preemption(last.save)]
    rate = warmup_then(steps=len(batches.sampler), end=end, **schedule)
    module = BridgeTraining(model, optimizer=optimizer, schedule=rate, identity=identity)
    found = whole_checkpoint(directory) if directory else None
    resumed, step = found or (begin, 0)
    if found:
        log.info("resuming from %s at step %d of %d", resumed, step, steps)
    for file in files:
        file.rewind(step)  # to nothing, where a run ended before its first checkpoint
    warnings.filterwarnings(
        "ignore", ".*`srun` command is available.*"
    )  # Slurm's tools alone make no job of a run
    lightning = trainer(
        max_steps=steps,
        max_epochs=1,
        callbacks=callbacks,
        logger=[logger for logger in loggers or [] if logger not in files] or False,
        log_every_n_steps=log_every,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=terminal,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    began = time.monotonic()
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # what is frozen
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # Lightning's own, at each start
    with memory_told(batches.sampler.batch_size):
        try:
            lightning.fit(module, train_dataloaders=batches, ckpt_path=resumed, weights_only=True)
        except SystemExit as leaving:
            if isinstance(
                leaving.__context__, KeyboardInterrupt
            ):  # Lightning makes an exit of it, without a word
                raise KeyboardInterrupt from None
            raise
    return curve.curve if curve else [], last.seconds if directory else time.monotonic() - began
