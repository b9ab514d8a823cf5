"""Hydra command lines: checked before Hydra reads them, composed, or handed to a Hydra app."""

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
    """Hand `args` to the Hydra app `module:main`, which reads them from `sys.argv`."""
    check_choices(args, conf_folder())
    for study in (arg.removeprefix("study=") for arg in args if arg.startswith("study=")):
        # What asks for the folder refuses too (`within_runs`), inside Hydra, which makes a traceback of it.
        if Path(study).is_absolute() or ".." in Path(study).parts:
            raise UsageError(
                f"study={study} leads out of paths.runs: give a name, without '..' and no leading '/'."
            )
    sys.argv = [program, *args]
    # Lightning's ddp starts its other ranks as `python -m <name of __main__'s spec> <sys.argv[1:]>`.
    script = sys.modules["__main__"]
    before, script.__spec__ = script.__spec__, importlib.util.find_spec(module)
    try:
        importlib.import_module(module).main()
    finally:
        script.__spec__ = before


def composed(choices: list[str]) -> Any:
    """The config of a training with these choices; the program's log goes to the terminal from here on."""
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
    from bridgelab.config.schema import check_config

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
    """Refuse what Hydra's grammar can't read, with the key and as it has to be quoted: its own message has neither.

    Raises:
        UsageError: with the line for a shell.
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
            whole = str(Path(value).expanduser()) if value.startswith("~") else value
            quoted = shlex.quote(key + '="' + whole.replace('"', '\\"') + '"')
            if value.startswith(("[", "{")):
                quoted = "each text inside so, as in " + shlex.quote(key + '=["A","B"]')
            raise UsageError(
                f"{key}={value} can't be read: text with signs or letters beyond ASCII is quoted, for the shell and for Hydra. "
                f"Write {quoted}"
            ) from error


def check_keys(args: Sequence[str]) -> None:
    """Refuse a key of training that there is not, before Hydra does so without a suggestion.

    Keys that a study sweeps are checked too. Keys of what a config names by its class, as of a bridge, are left to Hydra: a
    user's own has others.
    """
    from bridgelab.config.schema import CLASSES, declared, nearest

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
    """Refuse `group=name` where `conf/group/` has no such name, before Hydra does so without a suggestion.

    Args:
        args: a Hydra command line. Only plain names and lists of them are looked at.
        conf: the folder of config groups; `experiments/` lies beside it.
    Raises:
        UsageError: with the choices and the nearest one.
    """
    if any(arg.startswith(("--config-dir", "-cd", "--config-path", "-cp")) for arg in args):
        return  # groups may then have options that are not on our disk
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
