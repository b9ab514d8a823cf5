"""`bridgelab plan`: compute how small a difference a study would find, and with more seeds."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_allow, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = argparse.ArgumentParser(
        "bridgelab plan",
        description="Compute the smallest difference between the baseline and each bridge that a study would find with 80 % power, for "
        "several numbers of seeds and images.",
    )
    parser.add_argument(
        "study",
        type=Path,
        metavar="STUDY_DIR",
        help="a finished study, which gives the variance over seeds and images",
    )
    add_allow(parser)
    options = parser.parse_args(args)
    study_dir = folder(options.study)
    from bridgelab.console import get_console
    from bridgelab.report.tables.power_plan import plan_note, plan_table
    from bridgelab.runs.study import read_study
    from bridgelab.statistics.power.plan import plan

    planned = plan(read_study(study_dir, allow=options.allow))
    console = get_console()
    console.print(plan_table(planned))
    console.print(plan_note(planned))
