"""`bridgelab align`: train a Q-Former on images and captions, without a language model."""

import os

from bridgelab.cli.hydra_app import hydra_app
from bridgelab.cli.overrides import check_alignment, options_first

PURPOSE = (
    "Train a Q-Former on images and captions, BLIP-2's first stage; with -m one run per combination of values given as A,B,C.",
    "The same command continues an interrupted run. docs/align.md explains what is trained.",
)


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if {"-h", "--help"} & set(args):
        from bridgelab.cli.config_help import config_help

        print(config_help("align", PURPOSE, args), end="")
        return
    check_alignment(args)
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab align", "bridgelab.alignment.main", options_first(args))
