"""`bridgelab answer`: ask a trained or published bridge about an image."""

import argparse
import re
from pathlib import Path

from bridgelab.cli.arguments import UsageError, add_trust
from bridgelab.cli.published import published_config


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = argparse.ArgumentParser(
        "bridgelab answer",
        usage="bridgelab answer [options] RUN IMAGE... QUESTION\n"
        "       bridgelab answer [options] --bridge SOURCE [key=value ...] IMAGE... QUESTION",
        description="Ask a trained bridge about an image.",
        epilog='Example: bridgelab answer runs/first_look/bridge=linear,seed=0 image.png "what color is the cube ?"',
    )
    parser.add_argument(
        "named", nargs="+", metavar="RUN IMAGE... QUESTION",
        help="the folder of a finished run, in runs/<study>/; an image file, or two if the run's benchmark asks about two; the "
        "question, in quotes",
    )  # fmt: skip
    parser.add_argument(
        "--bridge", metavar="SOURCE",
        help="instead of a run, a published bridge: a file that `bridgelab convert --from` wrote, with vision= and text= beside it, or "
        "hf://ORG/NAME",
    )  # fmt: skip
    parser.add_argument(
        "--explain", type=Path, metavar="PNG", help="save a picture of the patches that the answer depends on"
    )
    add_trust(parser)
    options = parser.parse_intermixed_args(args)
    *named, question = options.named
    choices: list[str] = []
    if options.bridge:
        choices = [one for one in named if re.match(r"[+~]*[a-z][\w.]*=", one) and not Path(one).exists()]
        images = [Path(one) for one in named if one not in choices]
    else:
        images = [Path(one) for one in named[1:]]
    if not images:
        what = "an image" if options.bridge else "a run and an image"
        raise UsageError(
            f"{' '.join(options.named)}: {what} must stand before the question. Add what is missing."
        )
    from bridgelab.evaluation.trained_bridge import TrainedBridge
    from bridgelab.explain.answer import answer

    asked: Path | TrainedBridge = Path(named[0])
    if options.bridge:
        _, config = published_config(options.bridge, choices, asks=True, trust=options.trust)
        from bridgelab.device import local_device
        from bridgelab.evaluation.published_bridge import load_published

        asked = TrainedBridge(config, *load_published(config, local_device()))
    answer(asked, images, question, options.explain, trust=options.trust)
