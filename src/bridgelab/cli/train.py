"""`bridgelab train`: train a bridge, or all runs of a study."""

from bridgelab.cli.hydra_app import run_app
from bridgelab.cli.overrides import check_training

PURPOSE = (
    "Train one run; with -m one run per combination of values given as A,B,C. The same command continues an interrupted run.",
)


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    run_app("train", "bridgelab.training.main", PURPOSE, check_training, args)
