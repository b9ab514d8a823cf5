"""End a Slurm job that reaches its time limit again without progress: requeued, it would never end. Free of torch.

A run resumes from its last checkpoint, its finished trials and its stored features. A trial, or the answers to the test, begin
anew in each attempt. One that takes longer than the time limit would be requeued for ever.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bridgelab.atomic import write_text
from bridgelab.runs.identity import REQUEUED

NEARLY = 0.8  # of the time limit: Slurm warns some time before it, and preempts a job at any time


class Attempt:
    """One attempt at a run, from the start of its process to a requeuing.

    Args:
        folder: of the run.
        features: the folder of stored features.
    """

    def __init__(self, folder: Path, features: Path):
        self.folder, self.features, self.start = folder, features, time.monotonic()

    def progress(self) -> dict[str, int]:
        """Return when each file was written from which a later attempt goes on."""
        return {str(path): path.stat().st_mtime_ns for path in self._results() if path.exists()}

    def _results(self) -> Iterator[Path]:
        # Without training each attempt writes the initial weights again.
        if (self.folder / "metrics.csv").exists():
            yield self.folder / "last.ckpt"
        yield from self.folder.glob("budgets/*.json")
        yield from self.folder.glob("budgets/*/last.ckpt")
        # Finished trials: a run also waits for those of others.
        yield from self.folder.parent.glob("tune/*/*.json")
        yield from self.features.glob("*/*.safetensors")


_attempts: list[Attempt] = []  # of this process, the last one going on


def begin_attempt(folder: Path, features: Path) -> None:
    """Note that a run begins or goes on in this process.

    Args:
        folder: of the run.
        features: the folder of stored features.
    """
    _attempts.append(Attempt(folder, features))


def end_attempt() -> None:
    """Note that the run of this process is over."""
    (_attempts.pop().folder / REQUEUED).unlink(missing_ok=True)


def refuse_without_progress(limit: float | None) -> None:
    """Refuse to requeue a job at its time limit if the run has not progressed since the job was last requeued there.

    Args:
        limit: seconds from the job's start to its time limit; None if it is not known, and nothing is refused.
    Raises:
        RuntimeError: with what to set.
    """
    if not _attempts or limit is None or time.monotonic() - _attempts[-1].start < NEARLY * limit:
        return
    attempt = _attempts[-1]
    marker = attempt.folder / REQUEUED
    now = {"job": os.environ.get("SLURM_JOB_ID"), "progress": attempt.progress()}
    if marker.exists() and json.loads(marker.read_text()) == now:
        raise RuntimeError(
            f"{attempt.folder} reached its time limit of {limit / 60:g} minutes twice without a checkpoint, a finished trial or new "
            "features in between, and is not requeued: a trial of the search, or the answers to the test, must end within the limit. "
            "Raise hydra.launcher.timeout_min (sbatch --time), or lower tune.steps or evaluate.limit."
        )
    write_text(marker, json.dumps(now))


def time_limit() -> float | None:
    """Return the seconds from this job's start to its time limit, as Slurm tells a job; None where it does not."""
    start, end = (os.environ.get(f"SLURM_JOB_{name}_TIME", "") for name in ("START", "END"))
    return float(end) - float(start) if start.isdigit() and end.isdigit() else None
