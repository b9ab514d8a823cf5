"""The time that a sweep still takes, from the steps that are left and the time of a step. Free of torch.

Jobs differ: the first one of each bridge also searches its learning rate, the others find it there. So steps are counted and not jobs.
A step of one bridge takes longer than another's, so each has its own time; a bridge that has not begun is taken for the mean of the
others. What a job does beside its steps (imports, features, the answers to all test questions) is measured on jobs that have ended.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bridgelab.launch.job import Job
from bridgelab.runs.steps_done import StepsDone

OVERHEAD = 0.25  # what a job does beside its steps, as a share of their time, until a job has ended


class TimeLeft:
    """Estimate the time left of a pool.

    Args:
        slots: jobs at a time.
    """

    def __init__(self, slots: int):
        self.slots = slots
        self.jobs: dict[str, Job] = {}  # that have begun
        self.steps: dict[str, StepsDone] = {}  # their last count
        self.durations: dict[str, float] = {}  # of those that have ended

    def count(self, job: Job, done: StepsDone | None) -> None:
        """Note the steps that a job has done; None if it has written none."""
        self.jobs[job.name] = job
        if done is not None:
            self.steps[job.name] = done

    def end(self, job: Job, seconds: float) -> None:
        """Note a job that has ended, and its seconds."""
        self.jobs[job.name], self.durations[job.name] = job, seconds

    def seconds(self, running: Sequence[tuple[Job, float]], waiting: Sequence[Job]) -> float | None:
        """Return the seconds left; None if nothing is measured yet.

        Args:
            running: the jobs that run, each with the seconds since it began.
            waiting: the jobs that have not begun.
        """
        left = [*(job for job, _ in running), *waiting]
        if not left:
            return 0.0
        if not self._is_measured(left):
            return None
        step_seconds = self._step_seconds()
        rest = [(_search(job), self._rest(job, step_seconds, elapsed)) for job, elapsed in running]
        searches = self._searches(left, step_seconds)
        total = (
            sum(seconds for _, seconds in rest)
            + sum(self._rest(job, step_seconds, 0.0) for job in waiting)
            + sum(searches.values())
        )
        longest = max((seconds + searches.get(search, 0.0) for search, seconds in rest), default=0.0)
        return max(total / self.slots, longest)

    def of_job(self, job: Job, elapsed: float) -> float | None:
        """Return the seconds that a running job still takes, its search among them; None if nothing is measured yet.

        Args:
            job: the job.
            elapsed: seconds since it began.
        """
        if not self._is_measured([job]):
            return None
        step_seconds = self._step_seconds()
        return self._rest(job, step_seconds, elapsed) + sum(self._searches([job], step_seconds).values())

    def _is_measured(self, left: Sequence[Job]) -> bool:
        return (
            any(done.timed for done in self.steps.values())
            if any(job.work for job in left)
            else bool(self.durations)
        )

    def _step_seconds(self) -> dict[str, float]:
        """Return the seconds of a step, by search."""
        seconds: dict[str, float] = defaultdict(float)
        steps: dict[str, int] = defaultdict(int)
        for name, done in self.steps.items():
            search = _search(self.jobs[name])
            seconds[search] += done.seconds
            steps[search] += done.timed
        return {search: seconds[search] / number for search, number in steps.items() if number}

    def _searches(self, left: Sequence[Job], step_seconds: Mapping[str, float]) -> dict[str, float]:
        """Return the seconds left of each search; a search is over once a job trains with its result."""
        over = {_search(self.jobs[name]) for name, done in self.steps.items() if done.trained}
        over |= {_search(self.jobs[name]) for name in self.durations}
        searched: dict[str, int] = defaultdict(int)
        for name, done in self.steps.items():
            searched[_search(self.jobs[name])] += done.searched
        return {
            job.work.search: max(0.0, job.work.searched - searched[job.work.search])
            * _seconds_of_step(step_seconds, job.work.search)
            for job in left
            if job.work and job.work.search not in over
        }

    def _rest(self, job: Job, step_seconds: Mapping[str, float], elapsed: float) -> float:
        """Return the seconds that a job still takes without its search."""
        if job.work is None:
            return max(0.0, self._mean_duration() - elapsed)
        done = self.steps.get(job.name, StepsDone())
        steps = max(0.0, job.work.trained - done.trained) * _seconds_of_step(step_seconds, job.work.search)
        overhead = self._overhead(job, step_seconds)
        if not done.timed:
            overhead = max(0.0, overhead - elapsed)
        elif not steps:
            overhead /= 2  # it answers the test questions, and has done so for an unknown time
        return steps + overhead

    def _overhead(self, job: Job, step_seconds: Mapping[str, float]) -> float:
        """Estimate a job's seconds outside of its steps.

        That is the mean over the ended jobs of its sort, which train or do not; before any has ended, `OVERHEAD` times its steps' seconds.
        """
        assert job.work
        ended = [
            max(0.0, seconds - self.steps.get(name, StepsDone()).seconds)
            for name, seconds in self.durations.items()
            if seconds and (work := self.jobs[name].work) and (work.trained > 0) == (job.work.trained > 0)
        ]
        return (
            _mean(ended)
            if ended
            else OVERHEAD * job.work.trained * _seconds_of_step(step_seconds, job.work.search)
        )

    def _mean_duration(self) -> float:
        return _mean([seconds for seconds in self.durations.values() if seconds])


def _search(job: Job) -> str:
    return job.work.search if job.work else ""


def _seconds_of_step(step_seconds: Mapping[str, float], search: str) -> float:
    return step_seconds.get(search, _mean(list(step_seconds.values())))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
