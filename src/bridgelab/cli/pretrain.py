"""`bridgelab pretrain`: train the miniature T5 or ViT again."""

from bridgelab.cli.arguments import choose
from bridgelab.cli.hydra_app import hydra_app
from bridgelab.cli.overrides import check_choices, conf_folder, options_first, parse, refuse_lists

# Modules with the Hydra app `main`; a config in conf/pretrain has the same name as its model.
APPS = {"text": "bridgelab.pretraining.t5.main", "vision": "bridgelab.pretraining.vit.main"}


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: bridgelab pretrain {text,vision} [key=value ...]\n")
        print("Train the miniature T5 (text) or ViT (vision) again.")
        print("The weights stay in the folder of out; install=true replaces the package's own.")
        print("bridgelab pretrain text --help lists the keys.")
        return
    choose("model to pretrain", args[0], APPS)
    options, overrides = parse(args[1:])
    if not options.help:
        from bridgelab.config.compose import compose_config, each_value

        conf = conf_folder() / "pretrain"
        check_choices(overrides, conf)
        if not options.multirun:
            refuse_lists(overrides, ["bridgelab", "pretrain", args[0], "-m", *args[1:]])
        for values in each_value(conf, overrides):
            compose_config(conf, args[0], values)
    hydra_app(f"bridgelab pretrain {args[0]}", APPS[args[0]], options_first(args[1:]))
