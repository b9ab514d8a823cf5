"""`bridgelab plan`: the smallest difference that a study would find, and with more seeds."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_allow, folder


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab plan",
        description="The smallest difference between the baseline and each bridge that a study like this one would find, with "
        "80 % power.",
    )
    parser.add_argument(
        "study",
        type=Path,
        metavar="STUDY_DIR",
        help="a finished study, whose spread over seeds and images is taken",
    )
    add_allow(parser)
    given = parser.parse_args(args)
    study = folder(given.study)
    from bridgelab.statistics.power.plan import plan

    plan(study, allow=given.allow)
