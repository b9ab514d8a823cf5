"""`bridgelab plan`: compute how small a difference a study would find, and with more seeds."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, add_allow, add_json, folder, print_json


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
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
    add_json(parser, "the table")
    options = parser.parse_args(args)
    study_dir = folder(options.study)
    from bridgelab.console import get_console
    from bridgelab.report.formats.terminal import to_rich
    from bridgelab.report.tables.power_plan import plan_records, plan_tables
    from bridgelab.runs.study import read_study
    from bridgelab.statistics.power.plan import plan

    planned = plan(read_study(study_dir, allow=options.allow))
    if options.json:
        print_json(
            {
                "study": planned.study,
                "baseline": planned.baseline,
                "delta": planned.delta,
                "cells": plan_records(planned),
            }
        )
        return
    get_console().print(to_rich(plan_tables(planned)))
