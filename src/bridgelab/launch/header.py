"""The header of a sweep: what it runs, from which weights, for how long, and where. Free of torch."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridgelab.launch.job_grid import rows_and_seeds
from bridgelab.launch.sweep_check import SweepJob
from bridgelab.printable import printable, shown
from bridgelab.runs.finished import is_finished
from bridgelab.runs.warm_start_files import SHIPPED, WARM


def print_header(console: Console, jobs: Sequence[SweepJob], where: str, log: str) -> None:
    """Print an entry each on the study, its jobs, what they start from, their time, and their logs.

    Args:
        console: where to print; entries are folded at its width.
        jobs: of the sweep.
        where: how the jobs are run, such as `2 at a time`.
        log: the name of the file that a job logs to.
    """
    folder, config = jobs[0].folder.parent, jobs[0].config
    places = rows_and_seeds([job.folder.name for job in jobs]).values()
    rows, seeds = (list(dict.fromkeys(place[part] for place in places)) for part in (0, 1))
    of_seeds = f" × seeds {', '.join(seeds)}" if len(seeds) > 1 else ""
    lines = {
        folder.name: config.get("question") or "",
        "jobs": f"{len(jobs)}, {where}: {'; '.join(rows)}{of_seeds}",
        "start": _describe_starts([job.config.bridge.get("init_from") for job in jobs]),
        "time": f"{_steps_left(jobs):,.0f} training steps; the time left is shown once some are measured",
        "logs": f"{shown(folder)}/*/{log}; from another terminal: bridgelab status {shown(folder)}",
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, content in lines.items():
        table.add_row(Text(printable(name), style="bold"), Text(printable(content)))
    console.print(table)


def _describe_starts(sources: Sequence[str | None]) -> str:
    """Return in words what bridges start from, given `bridge.init_from` of each job."""
    words = {
        None: "random initialization, trained from scratch",
        WARM: f"warm starts of the package, one per bridge and seed; what they are: {SHIPPED / 'README.md'}",
    }
    return "; ".join(words.get(source, str(source)) for source in dict.fromkeys(sources))


def _steps_left(jobs: Sequence[SweepJob]) -> float:
    """Return the steps of jobs that are not finished. A finished job's search is over too."""
    left = [job.work for job in jobs if job.work and not is_finished(job.folder)]
    over = {job.work.search for job in jobs if job.work and is_finished(job.folder)}
    searches = {work.search: work.searched for work in left if work.search not in over}
    return sum(work.trained for work in left) + sum(searches.values())
