"""Run the jobs of a sweep, each in a process of its own, several at a time. Free of torch.

Several trainings in one process would share CUDA state, W&B runs and the peak of memory, and ddp inside a multirun would
start the whole sweep again in its second process. Each job therefore has a fresh process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import BinaryIO

from rich.console import Group
from rich.live import Live
from rich.text import Text

from bridgelab.console import get_console, shows_view
from bridgelab.launch.fork_server import ForkedJob, ForkServer
from bridgelab.launch.job import ActiveJob, Job, RunningJob
from bridgelab.launch.job_grid import short_names
from bridgelab.launch.job_progress import accuracy_curve, format_seconds, result
from bridgelab.launch.pool_progress import PoolProgress
from bridgelab.launch.pool_view import PoolView
from bridgelab.runs.locks import lock
from bridgelab.runs.log import failure
from bridgelab.runs.steps_done import forget_steps

# The launcher may itself be a rank or a task of Slurm's. Its jobs must not take themselves for one.
_RANK_VARIABLES = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_", "SLURM_", "PMI_")

# From SIGTERM, or a failure of the pool itself, to SIGKILL. After Ctrl-C or SIGHUP jobs have until the next signal.
GRACE_SECONDS = 30.0
LOOK_SECONDS = 1.0  # between two looks at the steps of the jobs
PRINT_SECONDS = 60.0  # between two lines without a terminal
START_SECONDS = 180.0  # for so long, and until the time left is known, lines follow each other more closely:
START_PRINT_SECONDS = 10.0
LOADING = "; loading torch, Lightning and the other libraries, once for all jobs"
ASK_AGAIN_SECONDS = 2.0  # between two looks at a job that another process runs


class Stopped(Exception):
    """The pool was interrupted, and its jobs have ended."""


def run_pool(
    jobs: Sequence[Job],
    environments: Sequence[dict[str, str]],
    finished: str,
    preload: Sequence[str] = (),
) -> list[str]:
    """Run every unfinished job, one per slot at a time, and wait for all of them.

    A job's output goes to log.txt in its folder; a further attempt appends to it. A job that fails, or whose folder can't
    be used, does not stop the others. The launcher and the job's process share a lock on log.txt, so that two sweeps over
    the same folders never run a job twice at once, even if one launcher was killed. Each sweep waits for the jobs of the
    other, and runs those that the other leaves unfinished.

    Args:
        jobs: jobs, each with a folder of its own.
        environments: for each slot the variables that it adds to this process's environment.
        finished: the name of the file that a job writes last. A job that has it is skipped; one that ends without it has
            failed.
        preload: modules that each slot without a GPU imports once for all its jobs (see `fork_server`).
    Returns:
        One line for each job that failed, with its name, the reason and its log.
    Raises:
        Stopped: on SIGINT, SIGTERM or SIGHUP, after the running jobs have finished their step, saved and ended. After SIGTERM
            they have `GRACE_SECONDS` for it. A second signal ends them at once. A signal that was ignored stays ignored.
    """
    return _Pool(jobs, environments, finished, preload).run()


class _Pool:
    def __init__(
        self,
        jobs: Sequence[Job],
        environments: Sequence[dict[str, str]],
        finished: str,
        preload: Sequence[str],
    ) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_RANK_VARIABLES)}
        # Otherwise a file in the working folder would be imported in place of a module of the same name.
        inherited["PYTHONSAFEPATH"] = "1"
        self.environments = [inherited | added for added in environments]
        self.fork_servers = [
            ForkServer(environment, preload) if preload and not added.get("CUDA_VISIBLE_DEVICES") else None
            for environment, added in zip(self.environments, environments, strict=True)
        ]
        self.finished = finished
        self.waiting = [job for job in jobs if not job.wrote(finished)]
        self.skipped = len(jobs) - len(self.waiting)
        self.progress = PoolProgress(
            len(self.waiting), len(environments), short_names([job.name for job in jobs])
        )
        self.view = PoolView(jobs, finished, self.progress)
        self.running: list[RunningJob] = []
        self.held: list[Job] = []  # jobs that another process runs
        self.announced: list[Job] = []  # held jobs for which a line was printed
        self.retried_at = 0.0  # when held jobs were last tried
        self.looked_at = 0.0  # when the jobs' steps were last read
        self.began = time.monotonic()
        self.printed_at = -PRINT_SECONDS  # when a line was last printed
        self.printed = ""  # the line of progress that was last printed
        self.signals: list[int] = []  # the signals to stop that arrived
        self.console = get_console()

    def run(self) -> list[str]:
        if self.skipped:
            self._print(f"{self.skipped} of {self.skipped + self.progress.total} jobs are finished already")
        if not self.waiting:
            return []
        with _collect_signals(self.signals):
            try:
                with self._live():
                    while self._unfinished() and not self.signals:
                        self._start_jobs()
                        self._collect_ended()
                        self._print_progress()
                        time.sleep(0.1)
                if self._unfinished():
                    self._stop()
            finally:
                self._end_jobs()
                for server in self.fork_servers:
                    if server:
                        server.close()
        return list(self.progress.failures.values())

    def _live(self) -> AbstractContextManager[object]:
        if not shows_view(self.console):
            return contextlib.nullcontext()
        return Live(get_renderable=self._view, console=self.console, refresh_per_second=2, transient=True)

    def _unfinished(self) -> bool:
        return bool(self.waiting or self.running or self.held)

    def _active(self) -> list[ActiveJob]:
        return [ActiveJob(one.job, one.seconds, one.log_start) for one in self.running]

    def _view(self) -> Group:
        return self.view.render(self.console, self._active(), list(self.held))

    def _print_progress(self) -> None:
        """Look at the jobs' steps, and print a line now and then where there is no terminal that could show the view."""
        if time.monotonic() > self.looked_at + LOOK_SECONDS:
            self.looked_at = time.monotonic()
            self.progress.look(self._active(), self.waiting)
        if shows_view(self.console):
            return
        starts = not self.progress.left and time.monotonic() < self.began + START_SECONDS
        if time.monotonic() > self.printed_at + (START_PRINT_SECONDS if starts else PRINT_SECONDS):
            line = self.progress.line(self._active())
            if line != self.printed or not starts:
                self.printed = line
                self._print(line)

    def _start_jobs(self) -> None:
        """Fill the free slots."""
        if not self.waiting and time.monotonic() > self.retried_at + ASK_AGAIN_SECONDS:
            self.waiting, self.held = self.held, []
            self.retried_at = time.monotonic()
        self.progress.note = ""
        for slot in sorted(set(range(len(self.environments))) - {one.slot for one in self.running}):
            server = self.fork_servers[slot]
            if self.waiting and server and not server.ready():
                self.progress.note = "" if self.running or self.progress.ended else LOADING
                continue
            while self.waiting and not self._started(self.waiting.pop(0), slot):
                pass

    def _started(self, job: Job, slot: int) -> bool:
        """Start a job, and return whether it runs."""
        log = self._lock_log(job)
        if log is None:
            return False
        forget_steps(job.folder)
        try:
            process = self._start_process(job, slot, log)
        except OSError as error:
            log.close()
            self._fail(job, f"could not be started: {error}")
            return False
        self.running.append(RunningJob(job, slot, process, log, log.tell()))
        return True

    def _lock_log(self, job: Job) -> BinaryIO | None:
        """Open and lock the job's log; None if it can't be written, another process holds it, or the job is finished."""
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            log = job.log.open("ab")
        except OSError as error:
            self._fail(
                job,
                f"can't be run: {error.strerror}: {error.filename}. A run needs a folder that it may write to: move that away, or "
                "give the sweep another study=NAME",
            )
            return None
        try:
            if lock(log, wait=False):
                if not job.wrote(self.finished):
                    return log
                self.progress.end(job, 0.0)
                self._print(f"{self.progress.numbered(job)}  by another process")
            else:
                self._hold(job)
        except OSError as error:
            self._fail(job, f"can't be run: {error}")
        log.close()
        return None

    def _hold(self, job: Job) -> None:
        """Set a job aside that another process runs."""
        self.held.append(job)
        if job not in self.announced:
            self.announced.append(job)
            self._print(f"{self.progress.name(job)} is being run by another process, and waited for")

    def _start_process(self, job: Job, slot: int, log: BinaryIO) -> subprocess.Popen | ForkedJob:
        server = self.fork_servers[slot]
        if server:
            return server.start(job.arguments, log)
        return subprocess.Popen(
            [sys.executable, "-m", *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.environments[slot],
            start_new_session=True,  # a process group of its own, to be signalled with all that it started
        )

    def _collect_ended(self) -> None:
        """Report the jobs that have ended, and free their slots."""
        for one in list(self.running):
            status = one.process.poll()
            if status is None:
                continue
            self.running.remove(one)
            one.log.close()
            if status == 0 and one.job.wrote(self.finished):
                self.progress.end(one.job, one.seconds)
                curve = f", {found}" if (found := result(accuracy_curve(one.job.folder))) else ""
                self.progress.look(self._active(), self.waiting)
                self._print(
                    f"{self.progress.numbered(one.job)}  {format_seconds(one.seconds)}{curve}{self.progress.left}"
                )
            else:
                self._collect_failed(one, status)

    def _collect_failed(self, one: RunningJob, status: int) -> None:
        one.signal_group(signal.SIGKILL)  # a rank that outlives the first would hold its GPU
        if status == 0:
            reason = f"ended without writing {self.finished}"
        elif status > 0:
            reason = f"failed with exit status {status}"
        else:
            reason = f"was ended by {signal.Signals(-status).name}"
        error, excerpt = failure(one.job.log, one.log_start, signalled=status < 0)
        self._fail(
            one.job, f"{reason}{error}; see {one.job.log}", headline=f"{reason}:" if excerpt else reason
        )
        for line in excerpt:
            self._print(f"    {line}")

    def _fail(self, job: Job, reason: str, headline: str | None = None) -> None:
        self.progress.failures[job.name] = f"  {job.name} {reason}"
        self._print(f"{self.progress.numbered(job)}  {headline or reason}", style="bold red")

    def _stop(self) -> None:
        """End the jobs after a signal.

        Raises:
            Stopped: always, with the number of jobs done.
        """
        if self.running:
            again = "; Ctrl-C again ends them at once" if signal.SIGINT in self.signals else ""
            self._print(
                f"stopping: jobs that train finish their step and save ({len(self.running)} run){again}"
            )
        stopped = [one.job for one in self.running]
        self._end_jobs()
        done = len(self.progress.done) + sum(job.wrote(self.finished) for job in stopped)
        raise Stopped(
            f"stopped: {done} of {self.progress.total} jobs done. The same command resumes from here."
        )

    def _end_jobs(self) -> None:
        """Ask the jobs to end. Kill those that have not ended at a second signal, or after a while if no Ctrl-C or SIGHUP asked."""
        deadline = time.monotonic() + GRACE_SECONDS
        for one in self.running:
            one.signal_group(signal.SIGTERM)
        while any(one.process.poll() is None for one in self.running) and len(self.signals) < 2:
            asked_patiently = signal.SIGINT in self.signals or signal.SIGHUP in self.signals
            if not asked_patiently and time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for one in self.running:
            one.signal_group(signal.SIGKILL)
        for one in self.running:
            one.process.wait()
            one.log.close()
        self.running = []

    def _print(self, line: str, style: str | None = None) -> None:
        self.printed_at = time.monotonic()
        self.console.print(Text(line), style=style, soft_wrap=True)


@contextlib.contextmanager
def _collect_signals(received: list[int]) -> Iterator[None]:
    """Append SIGINT, SIGTERM and SIGHUP to `received`: raising could interrupt a start when the process exists and is not recorded yet.

    SIGHUP counts once: a terminal that is closed sends it itself, and its shell does too.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    replaced = {
        number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)
    }

    def note(number: int, _: FrameType | None) -> None:
        if number != signal.SIGHUP or number not in received:
            received.append(number)

    for number in replaced:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
