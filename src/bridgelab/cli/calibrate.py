"""`bridgelab calibrate`: measure how often the verdict is wrong."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = argparse.ArgumentParser(
        "bridgelab calibrate",
        description="Measure how often the verdict is wrong: on simulated studies with known truth, or, given a study, between two "
        "halves of each bridge's runs, which do not differ (A/A test).",
    )
    parser.add_argument(
        "study",
        type=Path,
        nargs="?",
        metavar="STUDY_DIR",
        help="a finished study, such as runs/aa, for the A/A test",
    )
    options = parser.parse_args(args)
    if options.study:
        from bridgelab.statistics.calibration.aa import aa

        aa(folder(options.study))
    else:
        from bridgelab.statistics.calibration.error_rates import calibrate

        calibrate()
