"""`bridgelab calibrate`: how often the verdict is wrong, on simulated studies whose truth is known."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import folder


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab calibrate",
        description="How often the verdict is wrong: on simulated studies whose truth is known, or on real runs of one bridge, "
        "parted in two (A/A).",
    )
    parser.add_argument(
        "study", type=Path, nargs="?", metavar="STUDY_DIR", help="A/A: for example runs/aa; else simulated"
    )
    given = parser.parse_args(args)
    if given.study:
        from bridgelab.statistics.calibration.aa import aa

        aa(folder(given.study))
    else:
        from bridgelab.statistics.calibration.error_rates import calibrate

        calibrate()
