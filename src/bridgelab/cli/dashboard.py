"""`bridgelab dashboard`: a study's charts at W&B, as code."""

import argparse
import os
from pathlib import Path

from bridgelab.cli.arguments import folder


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab dashboard",
        description="The W&B workspace of a study's runs (made with logger=wandb), as code.",
    )
    parser.add_argument(
        "study",
        nargs="?",
        type=Path,
        metavar="STUDY_DIR",
        help="whose runs it shows; the built-in world's charts without",
    )
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY", ""), help="user or team at W&B")
    parser.add_argument("--project", default="bridgelab", help="as in logger.wandb.project (bridgelab)")
    parser.add_argument(
        "--save", action="store_true", help="send it to W&B; without, its JSON is printed, offline"
    )
    given = parser.parse_args(args)
    from bridgelab.report.dashboard import dashboard

    dashboard(
        folder(given.study) if given.study else None,
        entity=given.entity,
        project=given.project,
        save=given.save,
    )
