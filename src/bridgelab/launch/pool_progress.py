"""How far a pool is: jobs done and failed, the time left, and the live view of them. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from bridgelab.launch.job import Job, RunningJob


@dataclass
class PoolProgress:
    """Counts of a pool's jobs.

    Attributes:
        total: jobs to run.
        slots: jobs at a time.
        durations: seconds of each finished job; 0 if another process ran it.
        failures: a line for each failed job.
    """

    total: int
    slots: int
    durations: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return len(self.durations) + len(self.failures)

    def numbered(self, job: Job) -> str:
        """Return the name of a job that has just ended, after its number: ' 3/12  bridge=mlp'."""
        return f"{self.ended:{len(str(self.total))}d}/{self.total}  {job.name}"

    def time_left(self, running: Sequence[RunningJob], waiting: int) -> str:
        """Return ', about … left' from the mean duration so far, or nothing if no job has finished."""
        measured = [seconds for seconds in self.durations if seconds > 0]
        if not measured or not (waiting or running):
            return ""
        mean = sum(measured) / len(measured)
        remaining = [max(0.0, mean - one.seconds) for one in running]
        left = max((sum(remaining) + mean * waiting) / self.slots, *remaining, 0.0)
        return f", about {format_seconds(left)} left"

    def view(self, running: Sequence[RunningJob], waiting: int, held: Sequence[Job]) -> Group:
        """Return the live view: a bar, the counts, and the jobs that run here or in another process (`held`)."""
        left = self.total - self.ended
        counts = f"{len(self.durations)} done, {len(self.failures)} failed, {left} left"
        lines = [Text(counts + self.time_left(running, waiting))]
        lines += [Text(f"  {one.job.name}  {format_seconds(one.seconds)}") for one in running]
        lines += [Text(f"  {job.name}  by another process") for job in held]
        return Group(ProgressBar(total=self.total, completed=self.ended, width=40), *lines)


def format_seconds(seconds: float) -> str:
    """Return a duration as '5 s', '2 min 5 s' or '3 h 2 min'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
