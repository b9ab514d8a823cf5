"""Slurm's queue: wait for the jobs of a sweep, and requeue a job before its time limit. Free of torch."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from bridgelab.console import get_console, shows_view
from bridgelab.launch.job import ActiveJob, Job
from bridgelab.launch.job_grid import short_names
from bridgelab.launch.pool_progress import PoolProgress
from bridgelab.launch.pool_view import PoolView
from bridgelab.launch.requeued import refuse_without_progress, time_limit
from bridgelab.launch.sweep_plan import read_plan
from bridgelab.runs.log import failure
from bridgelab.runs.record_schema import Malformed

POLL_SECONDS = 5.0
PRINT_SECONDS = 60.0  # between two lines without a terminal
FILE_DELAY = 30.0  # seconds within which a shared disk shows a file to every node
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


def still_queued(folders: Collection[Path]) -> dict[Path, str]:
    """Return the ids of the jobs that earlier sweeps submitted for runs and that are still in the queue, by the run's folder.

    Args:
        folders: of the runs.
    Raises:
        RuntimeError: if squeue fails.
    """
    submitted: dict[Path, str] = {}
    for study in {folder.parent for folder in folders}:
        with contextlib.suppress(Malformed):  # a broken plan is written anew
            submitted |= {study / job.name: job.slurm_job for job in read_plan(study).jobs if job.slurm_job}
    if not submitted.keys() & set(folders) or shutil.which("squeue") is None:
        return {}
    queue = states()
    return {folder: id for folder, id in submitted.items() if id in queue and folder in folders}


def wait(
    jobs: Mapping[str, Job],
    logs: Mapping[str, Path],
    finished: str,
    look: Callable[[], Mapping[str, str]] = states,
) -> list[str]:
    """Wait until all jobs have left the queue. Show what they do, and print a line for each one that leaves.

    A preempted job, or one at its time limit, is queued again and stays in the queue meanwhile. A job that leaves the queue
    without its record has failed, whatever Slurm calls it: Slurm may count killed jobs as completed, and accounting is not
    always available.

    Args:
        jobs: each job by its id.
        logs: the output of each job's first task, by the job's id.
        finished: the name of the file that a job writes last.
        look: a function that returns the queue as `states` does.
    Returns:
        One line for each job that failed, with its name, its id and its log.
    """
    watch = _Watch(jobs, logs, finished)
    shown = Live(console=watch.console, refresh_per_second=1, transient=True)
    with shown if shows_view(watch.console) else contextlib.nullcontext() as live:
        while watch.left:
            queue = watch.read(look)
            if queue is not None:
                watch.collect(queue)
                view = watch.view(queue)
                if live:
                    live.update(view)
            if watch.left:
                time.sleep(POLL_SECONDS)
    return watch.failures


class _Watch:
    """Jobs in the queue: those that are left in it, and what became of the others."""

    def __init__(self, jobs: Mapping[str, Job], logs: Mapping[str, Path], finished: str) -> None:
        self.left = dict(jobs)
        self.failures: list[str] = []
        self.console = get_console()
        self.progress = PoolProgress(len(jobs), 1, short_names([job.name for job in jobs.values()]))
        self._view = PoolView([*jobs.values()], finished, self.progress)
        self._logs, self._finished = logs, finished
        self._printed_at = time.monotonic()  # when a line was last printed
        self._running_since: dict[str, float] = {}  # when a job was first seen to run in this attempt
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
        for id, state in queue.items():
            if id in self.left and state in GOING:
                self._running_since.setdefault(id, now)
            else:  # a job that was queued again begins anew
                self._running_since.pop(id, None)
        for id in [id for id in self.left if id not in queue]:
            if self.left[id].wrote(self._finished):
                job = self.left.pop(id)
                self.progress.end(job, now - self._running_since[id] if id in self._running_since else 0.0)
                self._print(self.progress.numbered(job))
            elif now - self._absent_since.setdefault(id, now) >= FILE_DELAY:
                self._fail(id, self.left.pop(id))

    def view(self, queue: Mapping[str, str]) -> Group:
        """Return the number of jobs in each state with the time left, and below it what each job does.

        Without a terminal, which alone shows the view, print a line a minute.
        """
        now = time.monotonic()
        going = [id for id in self.left if queue.get(id) in GOING]
        running = [ActiveJob(self.left[id], now - self._running_since[id]) for id in going]
        waiting = [job for id, job in self.left.items() if id not in going]
        self.progress.estimate.slots = max(1, len(running))
        self.progress.look(running, waiting)
        counts = (
            f"{len(self.progress.done)} done, {len(self.failures)} failed, {len(running)} running, {len(waiting)} waiting"
            f"{self.progress.left if running else ''}"
        )
        if not shows_view(self.console) and now > self._printed_at + PRINT_SECONDS:
            self._print(counts)
        return Group(Text(counts), *self._view.jobs_now(self.console, running, ()))

    def _fail(self, id: str, job: Job) -> None:
        reason, log = f"ended without writing {self._finished}", self._logs[id]
        error, excerpt = failure(log)
        self.failures.append(f"  {job.name} (job {id}) {reason}{error}; see {log}")
        self.progress.failures[job.name] = self.failures[-1]
        self._print(f"{job.name}  {reason}:", style="bold red")
        for line in excerpt:
            self._print(f"    {line}")

    def _print(self, line: str, style: str | None = None) -> None:
        self._printed_at = time.monotonic()
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
    """Requeue this Slurm job on SIGUSR1 (`sbatch --signal=USR1@120`), and go on after SIGTERM until Slurm kills it.

    Slurm sends SIGTERM to a job that it preempts, and queues the job again only if that has not ended by itself. Signals that submitit
    handles, or that are ignored, stay as they are. Call this before heavy imports, so that a signal during them does not end the job.
    """
    if "SUBMITIT_EXECUTOR" in os.environ:
        return
    if signal.getsignal(signal.SIGUSR1) != signal.SIG_IGN:
        signal.signal(signal.SIGUSR1, _requeue)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, functools.partial(_go_on, os.getpid()))


def _go_on(process: int, number: int, _: Any) -> None:
    """Do nothing; end another process, such as a worker that was forked off this one."""
    if os.getpid() != process:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _requeue(number: int, _: Any) -> None:
    if os.environ.get("SLURM_PROCID", "0") == "0":
        refuse_without_progress(time_limit())
        requeue()
        sys.exit(1)  # the run is not done, and Slurm would end the job anyway
    # Wait until Slurm ends all tasks. A task that exits now could end the first one before it requeues.
    time.sleep(600)
