"""`bridgelab status`: show how far a study is."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bridgelab.cli.arguments import Parser, add_json, folder, print_json
from bridgelab.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from bridgelab.launch.status import RunStatus, StudyStatus

LISTED = 60  # runs; of more, those that are done are only counted
STYLES = {"done": "green", "running": "bold", "failed": "bold red", "stopped": "yellow", "waiting": "dim"}


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab status",
        description="Show how far a study is: its runs that are done, running with the time left, failed with the reason, stopped, or "
        "waiting. Read from the folders of its runs and the launcher's list of jobs, also on Slurm.",
    )
    parser.add_argument(
        "study", type=Path, metavar="STUDY_DIR", help="the study's folder, such as runs/first_look"
    )
    add_json(parser, "the state of each run")
    options = parser.parse_args(args)
    study = folder(options.study)
    from bridgelab.launch.status import study_status

    found = study_status(study)
    if options.json:
        summary = {
            "study": found.name,
            **found.counts,
            "seconds_left": found.seconds_left,
            "again": found.again,
            "sweep": found.sweep,
            "queued": found.queued,
        }
        print_json({**summary, "runs": [asdict(one) for one in found.runs]})
        return
    _print(found, study)


def _print(found: "StudyStatus", study: Path) -> None:
    from rich.text import Text

    from bridgelab.console import get_console
    from bridgelab.launch.job_progress import format_seconds

    console = get_console()
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items() if number)
    left = found.seconds_left
    soon = f"; about {format_seconds(left)} left" if left is not None else ""
    console.print(Text(printable(f"{found.name}: {counts} of {len(found.runs)} runs{soon}"), style="bold"))
    console.print(_table(found.runs))
    if found.sweep is not None:
        line = f"A sweep is running (pid {found.sweep}): {_doing(found.runs)}"
        console.print(Text(printable(line)), soft_wrap=True)
    elif found.queued:
        jobs = f"{found.queued} job{'s'[: found.queued > 1]} of the study"
        line = f"Slurm's queue holds {jobs}. Once it does not, this command tells what is missing."
        console.print(Text(line), soft_wrap=True)
    elif found.again and not found.counts["running"]:
        console.print(Text(printable(f"To do what is missing: {found.again}")), soft_wrap=True)
    elif not found.again:
        console.print(Text(printable(f"Next: bridgelab report {shlex.quote(str(study))}")), soft_wrap=True)


def _doing(runs: "Sequence[RunStatus]") -> str:
    """Return what the runs of a sweep do now, each activity once."""
    now = dict.fromkeys(one.detail.partition(", ")[0] for one in runs if one.state == "running")
    return "; ".join(now) or "loading torch, Lightning and the other libraries"


def _table(runs: "Sequence[RunStatus]") -> "Table":
    """Return a line for each run, with its time and what it does."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from bridgelab.launch.job_grid import short_names
    from bridgelab.launch.job_progress import format_seconds

    names = short_names([one.name for one in runs])
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for head in ("run", "state", "took", "left", "what"):
        table.add_column(head, overflow="fold", justify="right" if head in ("took", "left") else "left")
    for one in runs:
        if len(runs) > LISTED and one.state == "done":
            continue
        what = f"accuracy {100 * one.accuracy:.1f} %" if one.accuracy is not None else one.detail
        times = (
            "" if seconds is None else format_seconds(seconds) for seconds in (one.seconds, one.seconds_left)
        )
        table.add_row(
            Text(printable(names[one.name])),
            Text(one.state, style=STYLES[one.state]),
            *map(Text, times),
            Text(printable(what)),
        )
    return table
