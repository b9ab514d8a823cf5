"""`bridgelab answer`: ask a trained bridge."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_trust


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser("bridgelab answer", description="Ask a trained bridge about an image.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder, in runs/<study>/")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="one, or two where its benchmark shows two"
    )
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument(
        "--explain", type=Path, metavar="PNG", help="save a picture of the patches that the answer rests on"
    )
    add_trust(parser)
    given = parser.parse_args(args)
    from bridgelab.explain.answer import answer

    answer(given.run, given.images, given.question, given.explain, trust=given.trust)
