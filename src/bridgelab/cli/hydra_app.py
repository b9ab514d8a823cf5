"""Compose a config from a Hydra command line, or pass the line to a Hydra app."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bridgelab.cli.arguments import UsageError
from bridgelab.cli.overrides import check_choices, check_keys, conf_folder, options_first


def run_app(
    command: str, module: str, purpose: Sequence[str], check: Callable[[list[str]], None], args: list[str]
) -> None:
    """Print the help of a Hydra command, or check its arguments and run it.

    Args:
        command: "train" or "align".
        module: with the Hydra app `main`.
        purpose: sentences for the help.
        check: raises an error if the overrides are wrong.
        args: those that follow the command's name.
    """
    if {"-h", "--help"} & set(args):
        from bridgelab.cli.config_help import config_help

        print(config_help(command, purpose, args), end="")
        return
    check(args)
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app(f"bridgelab {command}", module, options_first(args))


def hydra_app(program: str, module: str, args: list[str]) -> None:
    """Run the Hydra app `module.main`, which reads `args` from `sys.argv`."""
    sys.argv = [program, *args]
    # Lightning's ddp starts the other ranks as `python -m <name of __main__'s spec> <sys.argv[1:]>`.
    script = sys.modules["__main__"]
    before, script.__spec__ = script.__spec__, importlib.util.find_spec(module)
    try:
        importlib.import_module(module).main()
    finally:
        script.__spec__ = before


def composed(choices: list[str]) -> Any:
    """Return the config of a training with these overrides, and log to the terminal from here on.

    Raises:
        UsageError: if a name is wrong, or a key has several values.
        ValueError: if a value is wrong.
    """
    import logging

    conf = conf_folder()
    check_choices(choices, conf)
    check_keys(choices)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    import bridgelab.training.main  # noqa: F401  registers what configs call
    from bridgelab.config.check import check_config
    from bridgelab.config.compose import compose_config, lists

    if several := lists(choices):
        raise UsageError(f"{several[0]}: this command takes one value of each key. Give one.")
    config = compose_config(conf, "train", choices)
    check_config(config)
    return config
