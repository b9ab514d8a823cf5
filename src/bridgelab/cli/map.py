"""`bridgelab map`: where linear breaks, over levels and kinds of questions."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import folder


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab map",
        description="The break map: each level of what studies vary, by kind of question, with difference and outcome. All cells are "
        "one family. A bridge that was not trained as long as the first study's baseline gives an empty row.",
    )
    parser.add_argument(
        "studies", type=Path, nargs="+", metavar="STUDY_DIR", help="the first holds the centre"
    )
    parser.add_argument(
        "--out", type=Path, metavar="PNG", help="the picture (STUDY_DIR/map.png of the first)"
    )
    given = parser.parse_args(args)
    studies = [folder(study) for study in given.studies]
    out = given.out or studies[0] / "map.png"
    from bridgelab.report.write import report_map

    report_map(studies, out)
