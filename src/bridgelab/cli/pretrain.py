"""`bridgelab pretrain`: train the miniature T5 or ViT again."""

from bridgelab.cli.arguments import choose
from bridgelab.cli.hydra_app import hydra_app


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    models = ("text", "vision")
    if not args or args[0] in ("-h", "--help"):
        print("usage: bridgelab pretrain {text,vision} [key=value ...]\n")
        print("Train the miniature T5 (text) or ViT (vision) again.")
        print("`bridgelab pretrain text --help` lists the keys.")
        return
    choose("model to pretrain", args[0], models)
    hydra_app(f"bridgelab pretrain {args[0]}", f"bridgelab.pretraining.{args[0]}", args[1:])
