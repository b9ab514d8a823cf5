"""Check Hydra command lines, compose a config from them, or pass them to a Hydra app."""

import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgelab.cli.arguments import UsageError, choose
from bridgelab.config.root import config_root


def hydra_app(program: str, module: str, args: list[str]) -> None:
    """Run the Hydra app `module.main`, which reads `args` from `sys.argv`."""
    check_choices(args, conf_folder())
    for study in (arg.removeprefix("study=") for arg in args if arg.startswith("study=")):
        # The resolver `within_runs` refuses it too, but inside Hydra, which prints a traceback.
        if Path(study).is_absolute() or ".." in Path(study).parts:
            raise UsageError(
                f"study={study} leads out of paths.runs: give a name, without '..' and no leading '/'."
            )
    sys.argv = [program, *args]
    # Lightning's ddp starts the other ranks as `python -m <name of __main__'s spec> <sys.argv[1:]>`.
    script = sys.modules["__main__"]
    before, script.__spec__ = script.__spec__, importlib.util.find_spec(module)
    try:
        importlib.import_module(module).main()
    finally:
        script.__spec__ = before


def composed(choices: list[str]) -> Any:
    """Return the config of a training with these overrides, and log to the terminal from here on."""
    import logging

    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    conf = conf_folder()
    check_choices(choices, conf)
    check_keys(choices)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    import bridgelab.training.main  # noqa: F401  registers what configs call

    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = compose("train", choices)
    except HydraException as error:
        raise UsageError(str(error)) from error
    from bridgelab.config.check import check_config

    check_config(config)
    return config


def conf_folder() -> Path:
    conf = config_root() / "conf"
    if not conf.is_dir():
        raise UsageError(
            f"there is no folder {conf}. Install bridgelab again, or set BRIDGELAB_ROOT to a folder with conf/ and experiments/."
        )
    return conf


def _check_grammar(args: Sequence[str]) -> None:
    """Check that Hydra's grammar can read the arguments. Hydra's own message names neither the key nor the fix.

    Raises:
        UsageError: with the argument as it has to be quoted.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for arg in args:
        key, equals, value = arg.partition("=")
        if not equals or arg.startswith("-"):
            continue
        try:
            parser.parse_override(arg)
        except HydraException as error:
            expanded = str(Path(value).expanduser()) if value.startswith("~") else value
            quoted = shlex.quote(key + '="' + expanded.replace('"', '\\"') + '"')
            if value.startswith(("[", "{")):
                quoted = "each text inside so, as in " + shlex.quote(key + '=["A","B"]')
            raise UsageError(
                f"{key}={value} can't be read: text with signs or letters beyond ASCII is quoted, for the shell and for Hydra. "
                f"Write {quoted}"
            ) from error


def check_keys(args: Sequence[str]) -> None:
    """Check that the keys of a training exist. Hydra's own message has no suggestion.

    Keys that a study sweeps are checked too. Keys of groups that name a class, such as `bridge`, are left to Hydra, because
    a class of the user's own has other keys.

    Raises:
        UsageError: with the nearest key, or the new name of one that was renamed.
    """
    from bridgelab.config.check import declared
    from bridgelab.config.closest_key import nearest
    from bridgelab.config.schema.config import CLASSES

    known = declared()
    for arg in [*args, *_swept(args)]:
        match = re.fullmatch(r"\+{0,2}([a-z]\w*(?:\.\w+)+)=.*", arg, re.DOTALL)
        if match and match[1].split(".")[0] not in (*CLASSES, "hydra") and match[1] not in known:
            raise UsageError(f"there is no key {match[1]}{nearest(match[1], known)}")


def _swept(args: Sequence[str]) -> list[str]:
    """Return what the studies on a command line sweep, as further arguments."""
    from omegaconf import OmegaConf

    swept: list[str] = []
    for name in (arg.removeprefix("experiments=") for arg in args if arg.startswith("experiments=")):
        path = conf_folder().parent / "experiments" / f"{name}.yaml"
        if path.is_file():
            params = OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params") or {}
            swept += [f"{key}={values}" for key, values in params.items()]
    return swept


def check_choices(args: Sequence[str], conf: Path) -> None:
    """Check that `conf/group/` has the option of each `group=name`. Hydra's own message has no suggestion.

    Args:
        args: a Hydra command line, of which plain names and lists of names are checked.
        conf: the folder of config groups, beside `experiments/`.
    Raises:
        UsageError: with the options and the nearest one.
    """
    if any(arg.startswith(("--config-dir", "-cd", "--config-path", "-cp")) for arg in args):
        return  # the groups may have options in another folder
    _check_grammar(args)
    for arg in args:
        match = re.fullmatch(r"\+*([a-z][\w/]*)(?:@[\w.]+)?=([\w./-]+(?:,[\w./-]+)*)", arg)
        if not match or match[1].startswith("hydra/"):
            continue
        folder = conf.parent / "experiments" if match[1] == "experiments" else conf / match[1]
        if folder.is_dir():
            options = sorted(
                str(path.relative_to(folder))[: -len(".yaml")] for path in folder.rglob("*.yaml")
            )
            for name in match[2].split(","):
                if name != "null":
                    choose(match[1], name.removesuffix(".yaml"), options)
