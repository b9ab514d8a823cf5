"""A job of a sweep, and its process while it runs. Free of torch."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bridgelab.launch.fork_server import ForkedJob
from bridgelab.launch.planned_steps import Work

LOG = "log.txt"


@dataclass(frozen=True)
class Job:
    """One process to run.

    Attributes:
        folder: the folder that the job writes to. Its name is the job's name; its log.txt receives the job's output.
        arguments: the arguments that follow `python -m`.
        work: the steps that it will train; None if they are not known.
    """

    folder: Path
    arguments: Sequence[str]
    work: Work | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def wrote(self, file: str) -> bool:
        """Return whether the folder holds a file; False if the folder can't be read, where `Path.exists` raises."""
        return os.path.exists(self.folder / file)


@dataclass(frozen=True)
class ActiveJob:
    """A job that runs, as views and estimates see it.

    Attributes:
        job: the job.
        seconds: since it began.
        log_start: the size of its log when this attempt began, in bytes.
    """

    job: Job
    seconds: float
    log_start: int = 0


@dataclass
class RunningJob:
    """A job with its process.

    Attributes:
        slot: the index of its slot.
        log: the open log, whose lock the process shares.
        log_start: the size of the log when this attempt began, in bytes.
    """

    job: Job
    slot: int
    process: subprocess.Popen | ForkedJob
    log: BinaryIO
    log_start: int
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.began

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
