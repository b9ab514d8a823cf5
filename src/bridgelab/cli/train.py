"""`bridgelab train`: train a bridge, or all runs of a study."""

import os

from bridgelab.cli.hydra_app import hydra_app
from bridgelab.cli.overrides import check_training, options_first

PURPOSE = (
    "Train one run; with -m one run per combination of values given as A,B,C. The same command continues an interrupted run.",
)


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if {"-h", "--help"} & set(args):
        from bridgelab.cli.config_help import config_help

        print(config_help("train", PURPOSE, args), end="")
        return
    check_training(args)
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab train", "bridgelab.training.main", options_first(args))
