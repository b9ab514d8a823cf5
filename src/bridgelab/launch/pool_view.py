"""The live view of a pool: a bar, the time left, and the jobs as a grid of bridges and seeds. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridgelab.launch.job import ActiveJob, Job
from bridgelab.launch.job_grid import rows_and_seeds
from bridgelab.launch.job_progress import accuracy_curve, now_doing, result
from bridgelab.launch.pool_progress import PoolProgress

OTHER_LINES = 6  # of a screen beside the grid's rows
MIN_CELL = 18  # characters


@dataclass
class PoolView:
    """The live view.

    Args:
        jobs: all jobs of the sweep, those that were finished before among them.
        finished: the file that a job writes last.
        progress: of the pool.
    """

    jobs: Sequence[Job]
    finished: str
    progress: PoolProgress
    curves: dict[str, list[float]] = field(default_factory=dict)  # of jobs that have ended, read once

    def render(self, console: Console, running: Sequence[ActiveJob], held: Sequence[Job]) -> Group:
        """Return the view.

        Args:
            console: whose size it must fit. If the grid does not, only the jobs that run are listed.
            running: jobs that run here.
            held: jobs that another process runs.
        """
        progress = self.progress
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=progress.total, completed=progress.ended, width=24),
            Text(progress.counts + progress.left + progress.note),
        )
        return Group(bar, *self.jobs_now(console, running, held))

    def jobs_now(
        self, console: Console, running: Sequence[ActiveJob], held: Sequence[Job]
    ) -> Sequence[Table | Text]:
        """Return the jobs as a grid, or only those that run if it does not fit. The arguments are those of `render`."""
        grid = self._grid(console, running, held)
        if grid is not None:
            return [grid]
        listed = [f"  {self.progress.name(one.job)}  {now_doing(one)}" for one in running]
        listed += [f"  {self.progress.name(job)}  by another process" for job in held]
        return [*map(Text, listed)]

    def _grid(self, console: Console, running: Sequence[ActiveJob], held: Sequence[Job]) -> Table | None:
        """Return a table with a line for each row of the study and a column for each seed; None if it does not fit."""
        places = rows_and_seeds([job.name for job in self.jobs])
        jobs = {places[job.name]: job for job in self.jobs}
        rows, seeds = (list(dict.fromkeys(place[part] for place in jobs)) for part in (0, 1))
        label = max(map(len, rows))
        cell = (console.width - label) // len(seeds) - 2
        if cell < MIN_CELL or len(rows) > console.height - OTHER_LINES or len(jobs) < len(self.jobs):
            return None
        here = {one.job.name: one for one in running}
        elsewhere = {job.name for job in held}
        table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=seeds != [""])
        table.add_column("", no_wrap=True, min_width=label)
        for seed in seeds:
            table.add_column(f"seed {seed}", no_wrap=True, min_width=cell, max_width=cell)
        for row in rows:
            of_row = [jobs.get((row, seed)) for seed in seeds]
            table.add_row(row, *(self._cell(job, here, elsewhere, cell) if job else Text() for job in of_row))
        return table

    def _cell(self, job: Job, here: dict[str, ActiveJob], elsewhere: set[str], width: int) -> Text:
        if job.name in here:
            return Text(now_doing(here[job.name], width), style="bold")
        if job.name in self.progress.failures:
            return Text("failed", style="bold red")
        if job.name in elsewhere:
            return Text("by another process")
        if job.name not in self.curves:
            if not job.wrote(self.finished):
                return Text("·", style="dim")
            self.curves[job.name] = accuracy_curve(job.folder)
        return Text(result(self.curves[job.name], width) or "done", style="green")
