"""`bridgelab align`: train a Q-Former on images and captions, without a language model."""

from bridgelab.cli.hydra_app import run_app
from bridgelab.cli.overrides import check_alignment

PURPOSE = (
    "Train a Q-Former on images and captions, BLIP-2's first stage; with -m one run per combination of values given as A,B,C.",
    "The same command continues an interrupted run. docs/align.md explains what is trained.",
)


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    run_app("align", "bridgelab.alignment.main", PURPOSE, check_alignment, args)
