"""Slurm's queue: wait for the jobs of a sweep, and requeue a job before its time limit. Free of torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from bridgelab.console import get_console
from bridgelab.runs.log import failure

POLL_SECONDS = 5.0
PATIENCE = 30.0  # seconds within which a shared disk shows a file to every node
GOING = ("RUNNING", "COMPLETING")


def states() -> dict[str, str]:
    """Return the state of each of this user's jobs in the queue, by id (`<job>_<task>` in an array).

    Raises:
        RuntimeError: if squeue fails.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return dict(line.split() for line in done.stdout.splitlines())


def wait(
    folders: Mapping[str, Path],
    logs: Mapping[str, Path],
    finished: str,
    look: Callable[[], Mapping[str, str]] = states,
) -> list[str]:
    """Wait until all jobs have left the queue, and print a line for each one that leaves.

    A preempted job, or one at its time limit, is queued again and stays in the queue meanwhile. A job that leaves the queue
    without its record has failed, whatever Slurm calls it: Slurm may count killed jobs as completed, and accounting is not
    always available.

    Args:
        folders: each job's folder, by its id.
        logs: the output of each job's first task, by the job's id.
        finished: the name of the file that a job writes last.
        look: a function that returns the queue as `states` does.
    Returns:
        One line for each job that failed, with its name, its id and its log.
    """
    watch = _Watch(folders, logs, finished)
    with Live(console=watch.console, refresh_per_second=1, transient=True) as view:
        while watch.left:
            queue = watch.read(look)
            if queue is not None:
                watch.collect(queue)
                view.update(Text(watch.summary(queue)))
            if watch.left:
                time.sleep(POLL_SECONDS)
    return watch.failures


class _Watch:
    """Jobs in the queue: those that are left in it, and what became of the others."""

    def __init__(self, folders: Mapping[str, Path], logs: Mapping[str, Path], finished: str) -> None:
        self.left = dict(folders)
        self.failures: list[str] = []
        self.console = get_console()
        self._logs, self._finished, self._total = logs, finished, len(folders)
        self._began = time.monotonic()
        self._absent_since: dict[str, float] = {}  # when a job without its record was first not in the queue
        self._unavailable = False

    def read(self, look: Callable[[], Mapping[str, str]]) -> Mapping[str, str] | None:
        """Return the queue, or None while the controller is busy or restarting, of which one line is printed."""
        try:
            queue = look()
        except RuntimeError as error:
            if not self._unavailable:
                self._print(f"{error}; asking again", style="yellow")
            self._unavailable = True
            return None
        self._unavailable = False
        return queue

    def collect(self, queue: Mapping[str, str]) -> None:
        """Report the jobs that have left the queue."""
        now = time.monotonic()
        for job in [job for job in self.left if job not in queue]:
            folder = self.left[job]
            if os.path.exists(folder / self._finished):  # False if it can't be read, where Path.exists raises
                del self.left[job]
                self._print(f"{self._total - len(self.left)}/{self._total}  {folder.name}")
            elif now - self._absent_since.setdefault(job, now) >= PATIENCE:
                del self.left[job]
                self._fail(job, folder)

    def summary(self, queue: Mapping[str, str]) -> str:
        """Return the counts of jobs by state, and the minutes that have passed."""
        running = sum(queue.get(job) in GOING for job in self.left)
        done = self._total - len(self.left) - len(self.failures)
        minutes = (time.monotonic() - self._began) / 60
        return (
            f"{done} done, {len(self.failures)} failed, {running} running, {len(self.left) - running} waiting, "
            f"{minutes:.0f} min"
        )

    def _fail(self, job: str, folder: Path) -> None:
        reason, log = f"ended without writing {self._finished}", self._logs[job]
        error, excerpt = failure(log)
        self.failures.append(f"  {folder.name} (job {job}) {reason}{error}; see {log}")
        self._print(f"{folder.name}  {reason}:", style="bold red")
        for line in excerpt:
            self._print(f"    {line}")

    def _print(self, line: str, style: str | None = None) -> None:
        self.console.print(Text(line), style=style, soft_wrap=True)


def requeue() -> None:
    """Ask Slurm to requeue this job, or this task of an array.

    Raises:
        RuntimeError: if Slurm refuses.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"scontrol requeue {job}: {done.stderr.strip()}")


def requeue_when_warned() -> None:
    """Requeue this Slurm job on SIGUSR1 (`sbatch --signal=USR1@120`), unless submitit handles the signal or it is ignored.

    Call this before heavy imports, so that a signal during them does not end the job.
    """
    if "SUBMITIT_EXECUTOR" not in os.environ and signal.getsignal(signal.SIGUSR1) != signal.SIG_IGN:
        signal.signal(signal.SIGUSR1, _requeue)


def _requeue(number: int, _: Any) -> None:
    if os.environ.get("SLURM_PROCID", "0") == "0":
        requeue()
        sys.exit(1)  # the run is not done, and Slurm would end the job anyway
    # Wait until Slurm ends all tasks. A task that exits now could end the first one before it requeues.
    time.sleep(600)
