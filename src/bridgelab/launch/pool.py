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

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from bridgelab.console import get_console
from bridgelab.launch.fork_server import ForkedJob, ForkServer
from bridgelab.runs.log import failure

# A launcher that is itself a rank of something, or a task of Slurm's, must not tell its jobs that they are so too.
_RANK_VARIABLES = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_", "SLURM_", "PMI_")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

GRACE_SECONDS = 30.0  # between asking a job to end and killing it; after Ctrl-C until the next one
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
    process: subprocess.Popen | ForkedJob
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
    does not stop the others, nor does one whose folder can't be used. The lock on log.txt is shared with the
    job's process, so that two sweeps over the same folders never run one job twice at once, even where the
    first launcher was killed: each waits for what the other runs, and runs what that leaves undone.

    Args:
        jobs: each with a folder of its own.
        environments: variables that each slot adds to this process's environment.
        finished: name of the file that a job writes last. Jobs that have it are skipped; one that ends
            without it has failed.
        preload: modules that each slot without a GPU imports once, for all of its jobs (see `fork_server`).
    Returns:
        One line for each job that failed, naming it, the reason and its log.
    Raises:
        Stopped: on SIGINT, SIGTERM or SIGHUP, after the running jobs have finished their step, saved and ended. A further
            signal ends them at once. One that was ignored stays ignored.
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
        own["PYTHONSAFEPATH"] = (
            "1"  # else a file in the working folder is taken for a module of the same name
        )
        self.environments = [own | added for added in environments]
        self.forkers = [
            ForkServer(whole, preload) if preload and not added.get("CUDA_VISIBLE_DEVICES") else None
            for whole, added in zip(self.environments, environments, strict=True)
        ]
        self.finished = finished
        self.waiting = [job for job in jobs if not self._is_finished(job)]
        self.skipped = len(jobs) - len(self.waiting)
        self.total = len(self.waiting)
        self.running: list[_Running] = []
        self.held: list[Job] = []  # by another process
        self.told: list[Job] = []  # of them, those that were spoken of
        self.asked_at = 0.0  # when they were last asked for
        self.asked: list[int] = []  # signals to stop that came
        self.failed: list[str] = []
        self.durations: list[float] = []
        self.console = get_console()

    def run(self) -> list[str]:
        if self.skipped:
            self._say(f"{self.skipped} of {self.skipped + self.total} jobs are finished already")
        if not self.waiting:
            return []
        view = Live(get_renderable=self._view, console=self.console, refresh_per_second=2, transient=True)
        with _noted(self.asked):
            try:
                with view:
                    while (self.waiting or self.running or self.held) and not self.asked:
                        self._start()
                        self._collect()
                        time.sleep(0.1)
                if self.waiting or self.running or self.held:
                    self._say_stopping()
                    own = [one.job for one in self.running]
                    self._end()
                    done = len(self.durations) + sum(map(self._is_finished, own))
                    raise Stopped(
                        f"stopped: {done} of {self.total} jobs done. The same command goes on from here."
                    )
            finally:
                self._end()
                for forker in self.forkers:
                    if forker:
                        forker.close()
        return self.failed

    def _is_finished(self, job: Job) -> bool:
        return os.path.exists(job.folder / self.finished)  # False where it can't be asked, unlike Path's

    def _start(self) -> None:
        if not self.waiting and time.monotonic() > self.asked_at + ASK_AGAIN_SECONDS:
            self.waiting, self.held = self.held, []
            self.asked_at = time.monotonic()
        free = set(range(len(self.environments))) - {one.slot for one in self.running}
        for slot in sorted(free):
            forker = self.forkers[slot]
            if self.waiting and forker and not forker.ready():
                continue
            while self.waiting:
                job = self.waiting.pop(0)
                if not (log := self._locked(job)):
                    continue
                try:
                    process = self._process(job, slot, log)
                except OSError as error:
                    log.close()
                    self._fail(job, f"could not be started: {error}")
                    continue
                self.running.append(_Running(job, slot, process, log, log.tell()))
                break

    def _locked(self, job: Job) -> BinaryIO | None:
        """The job's log, if there is something to run, it can be written, and nobody else runs it."""
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            log = (job.folder / "log.txt").open("ab")
        except OSError as error:
            self._fail(
                job,
                f"can't be run: {error.strerror}: {error.filename}. A run needs a folder that it may write to: move that away, or "
                "give the sweep another study=NAME",
            )
            return None
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.close()
            if job not in self.told:
                self.told.append(job)
                self._say(f"{job.folder.name} is being run by another process, and waited for")
            self.held.append(job)
            return None
        if self._is_finished(job):  # by another sweep, since this one began
            log.close()
            self.durations.append(0.0)
            self._say(f"{self._counted(job)}  by another process")
            return None
        return log

    def _process(self, job: Job, slot: int, log: BinaryIO) -> subprocess.Popen | ForkedJob:
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
            if status == 0 and self._is_finished(one.job):
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
                log = one.job.folder / "log.txt"
                raised, said = failure(log, one.log_start, signalled=status < 0)
                self._fail(one.job, f"{reason}{raised}; see {log}", reason, said)

    def _fail(self, job: Job, told: str, short: str | None = None, said: Sequence[str] = ()) -> None:
        self._say(f"{self._counted(job, failed=1)}  {short or told}" + ":" * bool(said), style="bold red")
        for line in said:
            self._say(f"    {line}")
        self.failed.append(f"  {job.folder.name} {told}")

    def _counted(self, job: Job, failed: int = 0) -> str:
        ended = len(self.durations) + len(self.failed) + failed
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

    def _say_stopping(self) -> None:
        if self.running:
            again = "; Ctrl-C again ends them at once" if signal.SIGINT in self.asked else ""
            self._say(
                f"stopping: jobs that train finish their step and save ({len(self.running)} run){again}"
            )

    def _end(self) -> None:
        """Ask the jobs to end, and kill what has not, after a while or when asked again; each with all that it started."""
        deadline = time.monotonic() + GRACE_SECONDS
        for one in self.running:
            _signal_family(one, signal.SIGTERM)
        while any(one.process.poll() is None for one in self.running) and len(self.asked) < 2:
            if signal.SIGINT not in self.asked and time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for one in self.running:
            _signal_family(one, signal.SIGKILL)
        for one in self.running:
            one.process.wait()
            one.log.close()
        self.running = []

    def _say(self, line: str, style: str | None = None) -> None:
        self.console.print(Text(line), style=style, soft_wrap=True)


@contextlib.contextmanager
def _noted(heard: list[int]) -> Iterator[None]:
    """Note Ctrl-C, SIGTERM and SIGHUP in `heard`: an exception might come between a job's start and the note of it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


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


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
