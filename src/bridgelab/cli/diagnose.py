"""`bridgelab diagnose`: look inside trained bridges."""

import argparse
import logging
import sys
from pathlib import Path

from bridgelab.cli.arguments import add_trust


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab diagnose",
        description="Look inside trained bridges. Causal and alike for all: the fall of the right answer's likelihood where patches of "
        "visited objects, of others, of background, or as many random ones are replaced. With and without clutter. What linear "
        "probes read of the objects behind the bridge; effective rank; nearest words. As description alone: attention.",
        epilog="Where objects are and which of them a question visits is known of benchmark=world and clevr; of others, only what needs "
        "no scene. Leaves diagnosis.json in each run's folder and diagnosis.png in the study's; `bridgelab report` takes them up.",
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="RUN | STUDY_DIR", help="finished runs, or all of a study"
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=400,
        metavar="N",
        help="test questions, for what answers rest on (400)",
    )
    parser.add_argument(
        "--images", type=int, default=400, metavar="N", help="test images, for what tokens hold (400)"
    )
    parser.add_argument(
        "--fit", type=int, default=1500, metavar="N", help="training images that probes are fitted on (1500)"
    )
    parser.add_argument("--again", action="store_true", help="also where the same was found before")
    add_trust(parser)
    given = parser.parse_args(args)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    import bridgelab.training.main  # noqa: F401  registers what configs call
    from bridgelab.explain.diagnose import diagnose
    from bridgelab.explain.run_diagnosis import Amounts

    diagnose(
        given.paths, Amounts(given.questions, given.images, given.fit), again=given.again, trust=given.trust
    )
