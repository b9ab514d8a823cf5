"""`bridgelab align`: train a Q-Former on images and captions, without a language model."""

import os

from bridgelab.cli.hydra_app import hydra_app
from bridgelab.cli.overrides import check_choices, conf_folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if {"-h", "--help"} & set(args):
        print("usage: bridgelab align [-m] [GROUP=OPTION ...] [KEY=VALUE ...]\n")
        print(
            "Train a Q-Former on images and captions, BLIP-2's first stage. The same command continues an interrupted run.\n"
        )
        print("Groups are those of bridgelab train. Keys:\n")
        keys = (conf_folder() / "align.yaml").read_text().split("\n\n", 1)[1].split("\nhydra:")[0]
        print("\n".join(f"  {line}".rstrip() for line in keys.splitlines()))
        return
    check_choices(args, conf_folder())
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab align", "bridgelab.alignment.main", args)
