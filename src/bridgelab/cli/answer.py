"""`bridgelab answer`: ask a trained bridge about an image."""

import argparse
from pathlib import Path

from bridgelab.cli.arguments import add_trust


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = argparse.ArgumentParser(
        "bridgelab answer",
        description="Ask a trained bridge about an image.",
        epilog='Example: bridgelab answer runs/first_look/bridge=linear,seed=0 image.png "what color is the cube ?"',
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a finished run, in runs/<study>/"
    )
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="an image file; two if the run's benchmark asks about two",
    )
    parser.add_argument("question", metavar="QUESTION", help="the question, in quotes")
    parser.add_argument(
        "--explain", type=Path, metavar="PNG", help="save a picture of the patches that the answer depends on"
    )
    add_trust(parser)
    options = parser.parse_args(args)
    from bridgelab.explain.answer import answer

    answer(options.run, options.images, options.question, options.explain, trust=options.trust)
