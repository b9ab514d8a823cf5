"""`bridgelab dashboard`: build a study's W&B workspace."""

import os
from pathlib import Path

from bridgelab.cli.arguments import Parser, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab dashboard",
        description="Build the W&B workspace of a study whose runs were trained with logger=wandb.",
    )
    parser.add_argument(
        "study",
        nargs="?",
        type=Path,
        metavar="STUDY_DIR",
        help="the study to show; without it, the built-in world's charts",
    )
    parser.add_argument(
        "--entity", default=os.environ.get("WANDB_ENTITY", ""), help="the W&B user or team (WANDB_ENTITY)"
    )
    parser.add_argument(
        "--project", default="bridgelab", help="the W&B project, as in logger.wandb.project (bridgelab)"
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="send the workspace to W&B; without it, print the JSON and stay offline",
    )
    options = parser.parse_args(args)
    from bridgelab.report.dashboard import dashboard

    dashboard(
        folder(options.study) if options.study else None,
        entity=options.entity,
        project=options.project,
        save=options.save,
    )
