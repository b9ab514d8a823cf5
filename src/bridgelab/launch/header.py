"""The header of a sweep: what it runs, from which weights, for how long, and where. Free of torch."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from bridgelab.launch.job import LOG, Job
from bridgelab.launch.job_grid import rows_and_seeds
from bridgelab.printable import printable, shown
from bridgelab.runs.warm_start_files import SHIPPED, WARM


def print_header(
    console: Console,
    study: str,
    question: str | None,
    starts: str,
    jobs: Sequence[Job],
    where: str,
    log: str = LOG,
) -> None:
    """Print a line each on the study, its jobs, what they start from, their time, and their logs.

    Args:
        console: where to print; each line is cut at its width.
        study: its name.
        question: that it asks; None if it asks none.
        starts: what its bridges start from.
        jobs: of the sweep.
        where: how the jobs are run, such as `2 at a time`.
        log: the name of the file that a job logs to.
    """
    places = rows_and_seeds([job.name for job in jobs]).values()
    rows, seeds = (list(dict.fromkeys(place[part] for place in places)) for part in (0, 1))
    of_seeds = f" × seeds {', '.join(seeds)}" if len(seeds) > 1 else ""
    folder = shown(jobs[0].folder.parent)
    lines = {
        study: question or "",
        "jobs": f"{len(jobs)}, {where}: {'; '.join(rows)}{of_seeds}",
        "start": starts,
        "time": f"{_steps(jobs):,.0f} training steps; the time left is shown once some are measured",
        "logs": f"{folder}/JOB/{log}; from another terminal: bridgelab status {folder}",
    }
    width = max(map(len, lines))
    for name, content in lines.items():
        line = Text(printable(f"{name:{width}}  "), style="bold").append(printable(content), style="not bold")
        console.print(line, no_wrap=True, overflow="ellipsis", highlight=False)


def describe_starts(sources: Sequence[str | None]) -> str:
    """Return what bridges start from, in words.

    Args:
        sources: `bridge.init_from` of each job.
    """
    words = {
        None: "random initialization, trained from nothing",
        WARM: f"warm starts of the package, one per bridge and seed; what they are: {SHIPPED / 'README.md'}",
    }
    return "; ".join(words.get(source, str(source)) for source in dict.fromkeys(sources))


def _steps(jobs: Sequence[Job]) -> float:
    works = [job.work for job in jobs if job.work]
    searches = {work.search: work.searched for work in works}
    return sum(work.trained for work in works) + sum(searches.values())
