"""How far a pool is: jobs done and failed, and the time left. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridgelab.launch.job import ActiveJob, Job
from bridgelab.launch.job_progress import format_seconds, now_doing
from bridgelab.launch.time_left import TimeLeft
from bridgelab.runs.steps_done import read_steps_done


@dataclass
class PoolProgress:
    """Counts of a pool's jobs.

    Attributes:
        total: jobs to run.
        slots: jobs at a time.
        names: what to print for each job, by its name; a job that is not in it is called by its name.
        done: names of the finished jobs.
        failures: a line for each failed job, by its name.
        left: ', about … left', as of the last look; empty if nothing is measured yet or nothing is left.
        note: why no job has begun yet, after a semicolon; empty if one has.
    """

    total: int
    slots: int
    names: Mapping[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    left: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        self.estimate = TimeLeft(self.slots)

    @property
    def ended(self) -> int:
        return len(self.done) + len(self.failures)

    @property
    def counts(self) -> str:
        """The numbers of jobs: '3 done, 1 failed, 8 left'."""
        return f"{len(self.done)} done, {len(self.failures)} failed, {self.total - self.ended} left"

    def name(self, job: Job) -> str:
        """Return what to print for a job."""
        return self.names.get(job.name, job.name)

    def numbered(self, job: Job) -> str:
        """Return the name of a job that has just ended, after its number: ' 3/12  bridge=mlp'."""
        return f"{self.ended:{len(str(self.total))}d}/{self.total}  {self.name(job)}"

    def end(self, job: Job, seconds: float) -> None:
        """Note a job that is done; 0 seconds if another process did it."""
        self.estimate.count(job, read_steps_done(job.folder))
        self.estimate.end(job, seconds)
        self.done.append(job.name)

    def look(self, running: Sequence[ActiveJob], waiting: Sequence[Job]) -> None:
        """Read how many steps the running jobs have done, and estimate the time left."""
        for one in running:
            self.estimate.count(one.job, read_steps_done(one.job.folder))
        left = self.estimate.seconds([(one.job, one.seconds) for one in running], waiting)
        self.left = f", about {format_seconds(left)} left" if left else ""

    def line(self, running: Sequence[ActiveJob]) -> str:
        """Return the state in one line, for a log."""
        now = "; ".join(f"{self.name(one.job)} {now_doing(one)}" for one in running)
        return f"{self.counts}{self.left}{self.note}{f': {now}' if now else ''}"
