"""`bridgelab pretrain`: make the miniature pair anew."""

from bridgelab.cli.arguments import choose
from bridgelab.cli.hydra_app import hydra_app


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    models = ("text", "vision")
    if not args or args[0] in ("-h", "--help"):
        print("usage: bridgelab pretrain {text,vision} [key=value ...]")
        print("`bridgelab pretrain text --help` lists the keys.")
        return
    choose("model to pretrain", args[0], models)
    hydra_app(f"bridgelab pretrain {args[0]}", f"bridgelab.pretraining.{args[0]}", args[1:])
