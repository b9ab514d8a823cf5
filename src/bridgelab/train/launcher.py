"""Run the jobs of a sweep in processes of their own, some at a time. Free of torch.

Training several jobs in one process leaks CUDA state, W&B runs and peak memory from one to the next, and ddp
inside a multirun starts the whole sweep again in its second process: hence a fresh process for each job.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from bridgelab.train.forks import Forked, Forker

# A launcher that is itself a rank of something, or a task of Slurm's, must not tell its jobs that they are so too.
_RANK_VARIABLES = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_", "SLURM_", "PMI_")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

TAIL_LINES = 15  # of a failed job's log
GRACE_SECONDS = 10.0  # between asking a job to end and killing it
ASK_AGAIN_SECONDS = 2.0  # for a job that another process runs


class Stopped(Exception):
    """The pool was interrupted; its jobs have ended."""


@dataclass(frozen=True)
class Job:
    """One process to run.

    Attributes:
        folder: where the job writes; its name is the job's name, and log.txt in it takes what the job prints.
        arguments: what follows `python -m`.
    """

    folder: Path
    arguments: Sequence[str]


@dataclass
class _Running:
    job: Job
    slot: int
    process: subprocess.Popen | Forked
    log: BinaryIO
    log_start: int
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def slot_environments(slots: int | None, gpus_per_job: int, threads: int | None) -> list[dict[str, str]]:
    """The environment variables that each slot adds, one dictionary a slot.

    Args:
        slots: jobs at a time; None gives one for each `gpus_per_job` GPUs, or 2 without a GPU.
        gpus_per_job: GPUs that a slot holds, none of them shared; unused without a GPU.
        threads: threads of a job; None divides this process's cores by the slots.
    Raises:
        ValueError: if a number is not positive, or there are too few GPUs.
    """
    for name, value in (("slots", slots), ("gpus_per_job", gpus_per_job), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"hydra.launcher.{name}={value} is not positive. Set it to at least 1.")
    gpus = _gpus()
    if gpus:
        available = len(gpus) // gpus_per_job
        slots = slots or available
        if slots == 0 or slots > available:
            raise ValueError(
                f"slots={slots or 1} times gpus_per_job={gpus_per_job} is more than the {len(gpus)} GPUs "
                "there are. Set hydra.launcher.slots or hydra.launcher.gpus_per_job lower."
            )
    slots = slots or 2
    threads = threads or max(1, _cores() // slots)
    environments = [dict.fromkeys(_THREAD_VARIABLES, str(threads)) for _ in range(slots)]
    if gpus:
        for slot, environment in enumerate(environments):
            own = gpus[slot * gpus_per_job : (slot + 1) * gpus_per_job]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return environments


def run_pool(
    jobs: Sequence[Job],
    environments: Sequence[dict[str, str]],
    finished: str,
    preload: Sequence[str] = (),
) -> list[str]:
    """Run every job that is not finished, one for each of `environments` at a time, and wait for all.

    A job's output goes to log.txt in its folder, to which a further attempt is appended. A job that fails
    does not stop the others. The lock on log.txt is shared with the job's process, so that two sweeps over
    the same folders never run one job twice at once, even where the first launcher was killed: each waits for
    what the other runs, and runs what that leaves undone.

    Args:
        jobs: each with a folder of its own.
        environments: variables that each slot adds to this process's environment.
        finished: name of the file that a job writes last. Jobs that have it are skipped; one that ends
            without it has failed.
        preload: modules that each slot without a GPU imports once, for all of its jobs (see `forks`).
    Returns:
        One line for each job that failed, naming it, the reason and its log.
    Raises:
        Stopped: on SIGINT, SIGTERM or SIGHUP, after the running jobs have been ended.
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
        own = {key: value for key, value in os.environ.items() if not key.startswith(_RANK_VARIABLES)}
        self.environments = [own | added for added in environments]
        self.forkers = [
            Forker(whole, preload) if preload and not added.get("CUDA_VISIBLE_DEVICES") else None
            for whole, added in zip(self.environments, environments, strict=True)
        ]
        self.finished = finished
        self.waiting = [job for job in jobs if not (job.folder / finished).exists()]
        self.skipped = len(jobs) - len(self.waiting)
        self.total = len(self.waiting)
        self.running: list[_Running] = []
        self.held: list[Job] = []  # by another process
        self.told: list[Job] = []  # of them, those that were spoken of
        self.asked_at = 0.0  # when they were last asked for
        self.failed: list[str] = []
        self.durations: list[float] = []
        self.console = Console(highlight=False, soft_wrap=True)

    def run(self) -> list[str]:
        if self.skipped:
            self._say(f"{self.skipped} of {self.skipped + self.total} jobs are finished already")
        if not self.waiting:
            return []
        view = Live(get_renderable=self._view, console=self.console, refresh_per_second=2, transient=True)
        with _signals_as_interrupt():
            try:
                with view:
                    while self.waiting or self.running or self.held:
                        self._start()
                        self._collect()
                        time.sleep(0.1)
            except KeyboardInterrupt:
                done = len(self.durations)
                raise Stopped(
                    f"stopped: {done} of {self.total} jobs done. The same command goes on from here."
                ) from None
            finally:
                _end(self.running)
                for forker in self.forkers:
                    if forker:
                        forker.close()
        return self.failed

    def _start(self) -> None:
        if not self.waiting and time.monotonic() > self.asked_at + ASK_AGAIN_SECONDS:
            self.waiting, self.held = self.held, []
            self.asked_at = time.monotonic()
        free = set(range(len(self.environments))) - {one.slot for one in self.running}
        for slot in sorted(free):
            while self.waiting:
                job = self.waiting.pop(0)
                if log := self._locked(job):
                    self.running.append(_Running(job, slot, self._process(job, slot, log), log, log.tell()))
                    break

    def _locked(self, job: Job) -> BinaryIO | None:
        """The job's log, if there is something to run and nobody else runs it."""
        job.folder.mkdir(parents=True, exist_ok=True)
        log = (job.folder / "log.txt").open("ab")
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.close()
            if job not in self.told:
                self.told.append(job)
                self._say(f"{job.folder.name} is being run by another process, and waited for")
            self.held.append(job)
            return None
        if (job.folder / self.finished).exists():  # by another sweep, since this one began
            log.close()
            self.durations.append(0.0)
            self._say(f"{self._counted(job)}  by another process")
            return None
        return log

    def _process(self, job: Job, slot: int, log: BinaryIO) -> subprocess.Popen | Forked:
        forker = self.forkers[slot]
        if forker:
            return forker.start(job.arguments, log)
        return subprocess.Popen(
            [sys.executable, "-m", *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.environments[slot],
            start_new_session=True,  # so that it can be ended with all that it started
        )

    def _collect(self) -> None:
        for one in list(self.running):
            status = one.process.poll()
            if status is None:
                continue
            self.running.remove(one)
            seconds = one.seconds
            one.log.close()
            if status == 0 and (one.job.folder / self.finished).exists():
                self.durations.append(seconds)
                self._say(f"{self._counted(one.job)}  {_time(seconds)}{self._time_left()}")
            else:
                _signal_family(one, signal.SIGKILL)  # a rank that outlives the first would hold its GPU
                if status == 0:
                    reason = f"ended without writing {self.finished}"
                elif status > 0:
                    reason = f"failed with exit status {status}"
                else:
                    reason = f"was ended by {signal.Signals(-status).name}"
                self._fail(one.job, reason, tail(one.job.folder / "log.txt", one.log_start))

    def _fail(self, job: Job, reason: str, tail: list[str]) -> None:
        self.failed.append(f"  {job.folder.name} {reason}; see {job.folder / 'log.txt'}")
        self._say(f"{self._counted(job)}  {reason}:", style="bold red")
        for line in tail:
            self._say(f"    {line}")

    def _counted(self, job: Job) -> str:
        ended = len(self.durations) + len(self.failed)
        return f"{ended:{len(str(self.total))}d}/{self.total}  {job.folder.name}"

    def _time_left(self) -> str:
        timed = [seconds for seconds in self.durations if seconds > 0]
        if not timed or not (self.waiting or self.running):
            return ""
        usual = sum(timed) / len(timed)
        started = [max(0.0, usual - one.seconds) for one in self.running]
        left = max((sum(started) + usual * len(self.waiting)) / len(self.environments), *started, 0.0)
        return f", about {_time(left)} left"

    def _view(self) -> Group:
        ended = len(self.durations) + len(self.failed)
        left = self.total - ended
        head = Text(f"{len(self.durations)} done, {len(self.failed)} failed, {left} left{self._time_left()}")
        lines = [Text(f"  {one.job.folder.name}  {_time(one.seconds)}") for one in self.running]
        lines += [Text(f"  {job.folder.name}  by another process") for job in self.held]
        return Group(ProgressBar(total=self.total, completed=ended, width=40), head, *lines)

    def _say(self, line: str, style: str | None = None) -> None:
        self.console.print(Text(line), style=style)


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, so that a killed sweep leaves no jobs behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(running: Sequence[_Running]) -> None:
    """Ask the jobs to end, and kill what has not after a while; each with all processes that it started."""
    deadline = time.monotonic() + GRACE_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in running:
            _signal_family(one, number)
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C cuts the waiting short
            while any(one.process.poll() is None for one in running) and time.monotonic() < deadline:
                time.sleep(0.05)
    for one in running:
        one.process.wait()
        one.log.close()


def _signal_family(one: _Running, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one.process.pid, number)


def _gpus() -> list[str]:
    """The GPUs this process may use, by index or UUID, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if listed.returncode != 0:
        return []
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(index) for index in range(count)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tail(log: Path, start: int = 0) -> list[str]:
    """The last lines of `log` after byte `start`; of a progress bar's many states the last. None where there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - 64 * 1024))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip().rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [line for line in lines if line][-TAIL_LINES:]


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
