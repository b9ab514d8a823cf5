"""One training by Lightning, from a bridge's first step or from its last checkpoint."""

import logging
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from pytorch_lightning.utilities.exceptions import SIGTERMException

from bridgelab.console import get_console, shows_view
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.out_of_memory import FEWER_BYTES, explain_full_training
from bridgelab.training.attempts import Attempts
from bridgelab.training.callbacks.branch_checkpoints import BranchCheckpoints
from bridgelab.training.callbacks.count_steps import CountSteps, StepsFile
from bridgelab.training.callbacks.csv_rows import CsvRows
from bridgelab.training.callbacks.last_checkpoint import LastCheckpoint
from bridgelab.training.callbacks.log_progress import LogProgress, StepBar
from bridgelab.training.callbacks.non_finite import TerminateOnNonFinite
from bridgelab.training.callbacks.preemption import STOPPED, Preemption
from bridgelab.training.callbacks.validation_curve import Validate, ValidationCurve
from bridgelab.training.checkpoint import LAST, newest_readable
from bridgelab.training.lightning_module import BridgeTraining
from bridgelab.training.loggers.csv_logger import MetricsCsv

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """The part of a schedule that one training covers.

    Args:
        start: the checkpoint to start from if the run's folder has none; None for the first step.
        stop: the step to stop at; None for the end of the batches.
        branches: checkpoints to keep for smaller budgets -> the step after which each is written.
    """

    start: Path | None = None
    stop: int | None = None
    branches: Mapping[Path, int] = field(default_factory=dict)


WHOLE = Span()
BEFORE_FIRST = -1  # the step to rewind to if a run ended before its first checkpoint: step 0 may have a row, of its initial weights


@dataclass(frozen=True)
class Outputs:
    """What one training leaves behind.

    Args:
        directory: folder of `last.ckpt`, from which the training also resumes.
        loggers: of Lightning; a `MetricsCsv` is rewound to the checkpoint first.
        save_every: steps between two checkpoints.
        log_every: steps between two logged rows.
        validate: returns validation metrics; None for no validation.
        points: number of validations, evenly spaced.
        at_start: validate before the first step too.
        attempts: at the run, which its checkpoints tell of; None if nobody asks for them.
    """

    directory: Path
    loggers: Sequence[Logger] = ()
    save_every: int = 200
    log_every: int = 10
    validate: Validate | None = None
    points: int = 10
    at_start: bool = False
    attempts: Attempts | None = None


@dataclass(frozen=True)
class Fitted:
    """What one training measured.

    Args:
        curve: (step, validation accuracy); with captions alone, (step, $e^{-loss}$).
        seconds: trained, over all attempts.
    """

    curve: list[tuple[int, float]]
    seconds: float


def fit(
    module: BridgeTraining,
    data: BenchmarkDataModule,
    build_trainer: Callable[..., pl.Trainer],
    *,
    span: Span = WHOLE,
    outputs: Outputs | None = None,
    label: str = "training",
    progress_bar: bool = False,
    steps_file: StepsFile | None = None,
    memory_advice: str = FEWER_BYTES,
) -> Fitted:
    """Train a bridge, resuming from the checkpoint in its folder if there is one.

    Args:
        module: the bridge with its optimizer and schedule.
        data: with its training batches chosen.
        build_trainer: keyword arguments -> Trainer.
        span: the part of the schedule to train.
        outputs: what to leave behind; None for nothing.
        label: of log lines.
        progress_bar: show a bar instead of log lines if standard output, where Lightning draws it, is a terminal.
        steps_file: where the run's steps are counted; None if nobody reads them.
        memory_advice: what to set if a GPU's memory runs out.
    Raises:
        RuntimeError: if the trainer ended before the last step.
        MemoryError: if a GPU's memory runs out.
    """
    batches = data.train_dataloader()
    steps = span.stop or len(batches.sampler)
    files = [logger for logger in outputs.loggers if isinstance(logger, MetricsCsv)] if outputs else []
    log_every = min(outputs.log_every if outputs else 10, steps)
    last: LastCheckpoint | None = None
    curve: ValidationCurve | None = None
    if outputs:
        last = LastCheckpoint(outputs.directory / LAST, outputs.save_every, outputs.attempts)
        if outputs.validate:
            curve = ValidationCurve(outputs.validate, outputs.points, files, outputs.at_start)
    progress_bar = progress_bar and shows_view(get_console())
    # In this order: what a step's checkpoint holds comes before it.
    callbacks: list[pl.Callback] = [
        *([curve] if curve else []),
        StepBar(label) if progress_bar else LogProgress(label, curve),
        *([TerminateOnNonFinite(batches, outputs.directory), CsvRows(files, log_every)] if outputs else []),
        BranchCheckpoints(span.branches),
        *([last] if last else []),
        Preemption(last.save if last else None),
    ]
    if steps_file:
        callbacks.append(CountSteps(steps_file, label, trial=outputs is None, branch=span.start is not None))
    checkpoint = (_resume(outputs.directory, files, steps) if outputs else None) or span.start
    trainer = build_trainer(
        max_steps=steps,
        max_epochs=1,
        callbacks=callbacks,
        logger=([logger for logger in outputs.loggers if logger not in files] if outputs else []) or False,
        log_every_n_steps=log_every,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress_bar,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    clock = time.monotonic()
    with explain_full_training(batches.sampler.batch_size, memory_advice):
        _run(trainer, module, data, checkpoint)
    if trainer.global_step < steps:  # its rate has not fallen to zero, and the record would claim all steps
        raise RuntimeError(
            f"{label} ended at step {trainer.global_step} of {steps}: it must reach the last. Remove from trainer what ended it, such as "
            "a callback that stops early, move last.ckpt and previous.ckpt away if they are there, and train again."
        )
    return Fitted(curve.curve if curve else [], last.seconds if last else time.monotonic() - clock)


def _resume(directory: Path, files: Sequence[MetricsCsv], steps: int) -> Path | None:
    """Return the checkpoint to resume from, and drop the rows of later steps."""
    path, step = newest_readable(directory) or (None, BEFORE_FIRST)
    if path:
        log.info("resuming from %s at step %d of %d", path, step, steps)
    for file in files:
        file.rewind(step)
    return path


def _run(
    trainer: pl.Trainer,
    module: BridgeTraining,
    data: BenchmarkDataModule,
    checkpoint: Path | None,
) -> None:
    """Call `trainer.fit` without warnings that do not apply, and let Ctrl-C end it as a KeyboardInterrupt.

    If it fails, end the processes that Lightning has started: they would wait for this one.
    """
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")  # the frozen modules
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # raised by Lightning itself
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from None
        if isinstance(exit_, SIGTERMException):  # received before the first step; its status would be 0
            log.warning(STOPPED)
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    except Exception:
        _end_others(trainer)
        raise


def _end_others(trainer: pl.Trainer) -> None:
    """Kill the processes that Lightning has started for this one."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return
    others = list(launcher.procs)
    launcher.procs.clear()  # Lightning watches this list, and kills this process too if one of them is killed
    for process in others:
        process.kill()
    for process in others:
        process.wait()
