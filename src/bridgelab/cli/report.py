"""`bridgelab report`: print a study's tables and draw its figures."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_allow, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = argparse.ArgumentParser(
        "bridgelab report",
        description="Print the tables of a study, and write them with figures and a page, index.html, into its folder.",
    )
    parser.add_argument(
        "study", type=Path, metavar="STUDY_DIR", help="the study's folder, such as runs/first_look"
    )
    parser.add_argument(
        "--format", choices=("md", "csv", "latex"), help="print the tables in this format, and write no file"
    )
    add_allow(parser)
    options = parser.parse_args(args)
    study = folder(options.study)
    from bridgelab.report.write import print_as, report

    if options.format:
        print_as(study, options.format, allow=options.allow)
    else:
        report(study, allow=options.allow)
