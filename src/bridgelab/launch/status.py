"""How far a study is: its runs that are done, running, failed, stopped or waiting, from their folders. Free of torch.

Runs are looked at without touching them: whether a process holds a run's lock is read from the kernel's list of locks, because
to try the lock would keep out a run that starts at this moment.
"""

import itertools
import os
import re
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bridgelab.launch.job import ActiveJob, Job
from bridgelab.launch.job_progress import BEGUN, now_doing
from bridgelab.launch.planned_steps import Work
from bridgelab.launch.slurm import GOING, states
from bridgelab.launch.sweep_plan import FILE, LOCK, read_plan
from bridgelab.launch.time_left import TimeLeft
from bridgelab.printable import printable
from bridgelab.runs import log
from bridgelab.runs.finished import is_finished
from bridgelab.runs.locks import lock_holders
from bridgelab.runs.record_schema import Malformed, read_record
from bridgelab.runs.repeat_command import what_is_missing
from bridgelab.runs.run_name import cell
from bridgelab.runs.steps_done import StepsDone, read_steps_done
from bridgelab.runs.sweep import swept

DONE, RUNNING, FAILED, STOPPED, WAITING = "done", "running", "failed", "stopped", "waiting"
STATES = (DONE, RUNNING, FAILED, STOPPED, WAITING)
MARKS = ("metrics.json", "config.yaml", "metrics.csv", "last.ckpt", *log.LOGS)  # of a run's folder
LOCKS = ("lock", "log.txt")  # held by a run, and by the launcher and its job
MAX_DETAIL = 110  # characters


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Args:
        name: of its folder.
        state: one of `STATES`. A stopped run was begun and is not running; the study's command resumes it.
        detail: what it does now, the reason of its failure, or its place in Slurm's queue.
        seconds: that it took, if it is done; else since it began, if it runs.
        train_seconds: how many of these it trained for, if it is done.
        seconds_left: by its steps, see `launch.time_left`; None if it does not run or nothing is measured yet.
        accuracy: on test, if it is done.
    """

    name: str
    state: str
    detail: str = ""
    seconds: float | None = None
    train_seconds: float | None = None
    seconds_left: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Args:
        name: of the study.
        runs: in the order of its sweep.
        again: the command that does what is missing; empty if it is not known.
        seconds_left: until the runs that run or wait, and those that the sweep has yet to resume, are done, with as many at a time as now;
            None if none runs or nothing is measured yet.
        sweep: the process of a sweep that runs on this machine; None if none does.
        queued: how many runs that are not done wait or run in Slurm's queue.
    """

    name: str
    runs: Sequence[RunStatus]
    again: str
    seconds_left: float | None
    sweep: int | None = None
    queued: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of runs in each of `STATES`."""
        counts = Counter(run.state for run in self.runs)
        return {state: counts[state] for state in STATES}


def study_status(
    study: Path, *, now: float | None = None, queue: Callable[[], Mapping[str, str]] = states
) -> StudyStatus:
    """Return how far a study is.

    Args:
        study: its folder.
        now: seconds since the epoch; by default the clock's.
        queue: a function that returns Slurm's queue as `launch.slurm.states` does; called if a job was submitted there.
    Raises:
        ValueError: if the folder is a run's, if it holds no run and no sweep was begun in it, or if its sweep.json is malformed.
    """
    now = time.time() if now is None else now
    absolute = Path(os.path.abspath(study))
    own_name = absolute.name  # also if it is '.'
    plan = {job.name: job for job in read_plan(study).jobs}
    slurm_jobs = {name: job.slurm_job for name, job in plan.items()}
    folders = {path.name: path for path in sorted(study.iterdir()) if _is_run(path)}
    names = list(
        dict.fromkeys([*slurm_jobs, *folders] if slurm_jobs else [*folders, *_absent(study, folders)])
    )
    if not names and _is_run(study):
        folder = study.parent if study.name == own_name else absolute.parent
        raise ValueError(
            f"{study} is a run of the study {absolute.parent.name}. How far that is: bridgelab status {shlex.quote(str(folder))}"
        )
    if not names:
        raise ValueError(f"{study} holds no run. Train into it: bridgelab train study={own_name}")
    in_queue = _queue(queue) if any(slurm_jobs.values()) else {}
    held = lock_holders()
    done = {name: _done(path) for name, path in folders.items() if is_finished(path)}
    runs = [
        done.get(name) or _unfinished(study / name, slurm_jobs.get(name), in_queue, held, now)
        for name in names
    ]
    works = {name: job.work.as_work() for name, job in plan.items() if job.work}
    sweep = _holder(study / LOCK, held)
    due = {run.name for run in runs if run.state == WAITING}
    if sweep is not None:
        due |= {run.name for run in runs if run.name in plan and _resumed(study, run)}
    runs, left = _with_time_left(study, runs, works, due)
    missing = [run.name for run in runs if run.state != DONE]
    again = what_is_missing(study, missing).partition("\n")[0] if missing else ""
    queued = sum(slurm_jobs.get(name) in in_queue for name in missing)
    return StudyStatus(own_name, runs, again, left, sweep, queued)


def _resumed(study: Path, run: RunStatus) -> bool:
    """Return whether a sweep has yet to resume a run that stopped or failed: it has logged nothing since the sweep noted its jobs."""
    logs = [study / run.name / name for name in log.LOGS]
    return run.state in (STOPPED, FAILED) and not any(
        path.exists() and path.stat().st_mtime >= (study / FILE).stat().st_mtime for path in logs
    )


def _with_time_left(
    study: Path, runs: Sequence[RunStatus], works: Mapping[str, Work], due: Collection[str]
) -> tuple[list[RunStatus], float | None]:
    """Return the runs with the seconds left of those that run, and the seconds left of the study.

    Args:
        study: its folder.
        runs: of the study.
        works: the steps of each run, as far as they are known.
        due: names of the runs that are to begin or to be resumed.
    """
    jobs = {run.name: Job(study / run.name, (), works.get(run.name)) for run in runs}
    running = [run for run in runs if run.state == RUNNING]
    estimate = TimeLeft(max(1, len(running)))
    searched: set[str] = set()
    for run in runs:
        job = jobs[run.name]
        if run.state == RUNNING or run.name in due:
            estimate.count(job, read_steps_done(job.folder))
        elif run.state == DONE and run.seconds:
            steps = job.work.trained if job.work else 0
            trained = StepsDone(trained=round(steps), timed=round(steps), seconds=run.train_seconds or 0.0)
            estimate.count(job, trained if steps and run.train_seconds else None)
            # The first run of a search took that search's time too, which is no measure of the others.
            if job.work and job.work.searched and job.work.search not in searched:
                searched.add(job.work.search)
            else:
                estimate.end(job, run.seconds)
    left = {run.name: estimate.of_job(jobs[run.name], run.seconds or 0.0) for run in running}
    waiting = [jobs[run.name] for run in runs if run.name in due]
    total = estimate.seconds([(jobs[run.name], run.seconds or 0.0) for run in running], waiting)
    return [replace(run, seconds_left=left.get(run.name)) for run in runs], total if running else None


def _is_run(path: Path) -> bool:
    return path.is_dir() and any((path / mark).exists() for mark in MARKS)


def _absent(study: Path, folders: Mapping[str, Path]) -> list[str]:
    """Return the runs of the last sweep that have no folder, for a study without sweep.json."""
    begun = [cell(name) for name in folders]
    # The study's place, for one, is not in the names of its runs.
    named = {name for one in begun for name in one}
    values = {
        name: several
        for name, several in swept(study).items()
        if name != "experiments" and (name in named or not begun)
    }
    absent = []
    for combination in itertools.product(*values.values()):
        planned = dict(zip(values, combination, strict=True))
        if values and not any(planned.items() <= other.items() for other in begun):
            absent.append(",".join(f"{name}={value}" for name, value in sorted(planned.items())))
    return absent


def _queue(look: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
    if look is states and shutil.which("squeue") is None:
        return {}
    try:
        return look()
    except RuntimeError:  # the controller is busy
        return {}


def _holder(path: Path, held: Mapping[str, int]) -> int | None:
    """Return the process that holds the lock of a file; None if the file is not locked."""
    try:
        return held.get(str(os.stat(path).st_ino))
    except OSError:
        return None


def _done(path: Path) -> RunStatus:
    try:
        record = read_record(path)
    except (Malformed, OSError) as error:
        return RunStatus(path.name, FAILED, f"its record can't be read: {error}"[:MAX_DETAIL])
    costs, accuracy = record.get("costs", {}), record.get("metrics", {}).get("test/accuracy")
    return RunStatus(
        path.name,
        DONE,
        seconds=costs.get("wall_seconds"),
        train_seconds=costs.get("train_seconds"),
        accuracy=accuracy,
    )


def _unfinished(
    path: Path,
    slurm_job: str | None,
    queue: Mapping[str, str],
    held: Mapping[str, int],
    now: float,
) -> RunStatus:
    """Return the status of a run without a record.

    Args:
        slurm_job: its id, if it was submitted to Slurm.
        queue: states of jobs by id.
        held: processes by the inode of the file that they have locked.
        now: seconds since the epoch.
    """
    state = queue.get(slurm_job or "")
    locked = any(_holder(path / name, held) is not None for name in LOCKS)
    if locked or state in GOING:
        began = _began(path)
        elapsed = None if began is None else max(0.0, now - began)
        doing = (
            now_doing(ActiveJob(Job(path, ()), elapsed or 0.0))
            if read_steps_done(path)
            else _last_message(path)
        )
        return RunStatus(path.name, RUNNING, doing, elapsed)
    if state:
        return RunStatus(path.name, WAITING, f"job {slurm_job} is {state.lower()} in Slurm's queue")
    if not path.exists() or not _is_run(path):
        return RunStatus(path.name, WAITING)
    try:
        why = log.status(path)
    except (Malformed, OSError) as error:
        why = f"failed: {error}"
    failed, stopped = why.startswith(FAILED), why.removeprefix("unfinished").lstrip(", ")
    return RunStatus(
        path.name, FAILED if failed else STOPPED, why.removeprefix("failed: ") if failed else stopped
    )


def _began(path: Path) -> float | None:
    """Return when the last attempt of a run began, in seconds since the epoch; None if it has logged nothing yet."""
    for line in reversed(log.last_lines(path / "train.log")):
        if BEGUN in line and (stamp := re.match(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", line)):
            return datetime.fromisoformat(stamp[1]).timestamp()
    config = path / "config.yaml"  # written as the run began; its first line may be too far up in the log
    return config.stat().st_mtime if config.exists() else None


def _last_message(path: Path) -> str:
    """Return the last line that a run logged, without its time and its module."""
    lines = log.last_lines(path / "train.log") or log.last_lines(path / "log.txt")
    message = lines[-1].partition("] - ")[2] or lines[-1] if lines else "starting"
    return "starting" if message.startswith(BEGUN) else printable(message)[:MAX_DETAIL]
