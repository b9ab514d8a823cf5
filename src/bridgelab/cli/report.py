"""`bridgelab report`: table and picture of a study."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_allow, folder


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser("bridgelab report", description="Table and picture of a finished study.")
    parser.add_argument("study", type=Path, metavar="STUDY_DIR", help="for example runs/first_look")
    parser.add_argument(
        "--format", choices=("md", "csv", "latex"), help="print the tables as this, and write no file"
    )
    add_allow(parser)
    given = parser.parse_args(args)
    study = folder(given.study)
    from bridgelab.report.write import print_as, report

    if given.format:
        print_as(study, given.format, allow=given.allow)
    else:
        report(study, allow=given.allow)
