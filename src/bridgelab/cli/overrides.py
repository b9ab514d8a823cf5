"""Check a Hydra command line before Hydra reads it: each wrong word in one line, and before any folder is made."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgelab.cli.arguments import UsageError, choose, nearest
from bridgelab.config.root import config_root

OWN_LAUNCHERS = "hydra_plugins.bridgelab_"  # whose keys are declared
OWN_STUDY = {
    "experiments": "A study of your own in DIR/experiments/NAME.yaml: bridgelab train --config-dir=DIR experiments=NAME"
}
NEW_STUDY = "NEW"  # the name in the command of a message, to be replaced
STUDY = "experiments="  # an override that chooses a study
ELSEWHERE = ("config_dir", "config_path", "config_name")  # options by which Hydra reads other configs


def check_training(args: Sequence[str]) -> None:
    """Check the command line of a training or a sweep: names, options of groups, and the value of every key.

    Raises:
        UsageError: if a name is wrong, or several values stand without `-m`.
        ValueError: if a value is wrong.
    """
    from bridgelab.config.schema.config import Config

    _check_app(args, "train", Config)


def check_alignment(args: Sequence[str]) -> None:
    """Check the command line of `bridgelab align`, as `check_training` does that of a training."""
    from bridgelab.config.schema.alignment import AlignmentConfig

    _check_app(args, "align", AlignmentConfig)


def _check_app(args: Sequence[str], command: str, schema: Any) -> None:
    from bridgelab.config.resolvers import within_runs

    options, overrides = parse(args, command)
    for study in (one.removeprefix("study=") for one in overrides if one.startswith("study=")):
        within_runs(study)  # as the resolver does, but inside Hydra, which prints a traceback
    if any(getattr(options, name) for name in ELSEWHERE):
        return  # the groups and keys may be others; a launcher that gives these has checked its jobs
    conf = conf_folder()
    check_choices(overrides, conf)
    check_keys(overrides, command, schema)
    if options.cfg or options.info or options.shell_completion:
        return  # nothing runs, and a config with a wrong value may be looked at
    from bridgelab.config.check import check_config, check_launcher
    from bridgelab.config.compose import compose_config, compose_sweep, each_value

    sweep = compose_sweep(conf, overrides, command)
    if sweep.config.hydra.job.chdir:
        raise UsageError(
            "hydra.job.chdir=true: data, features and runs are found from the working folder, so each run would have its own. Leave it out."
        )
    is_sweep = options.multirun or sweep.is_multirun
    if not is_sweep:
        refuse_lists(overrides, ["bridgelab", command, "-m", *args])
    elif str(sweep.config.hydra.launcher._target_).startswith(OWN_LAUNCHERS):
        check_launcher(sweep.config)
    each = list(each_value(conf, overrides))
    _refuse_several_studies(each, args)
    check_config(sweep.config, schema)
    for values in each[1:]:
        check_config(compose_config(conf, command, values), schema)
    if command == "train":
        _refuse_another_verdict(sweep.config, args)


def _refuse_several_studies(each: Sequence[Sequence[str]], args: Sequence[str]) -> None:
    """Refuse to sweep studies: Hydra reads a study's own sweep only if all jobs have the same study.

    Args:
        each: overrides with one value each, of a sweep once with each value.
        args: of the command line.
    Raises:
        UsageError: if there are several studies, and one of them sweeps something.
    """
    studies = sorted(
        {one.lstrip("+") for values in each for one in values if one.lstrip("+").startswith(STUDY)}
    )
    if len(studies) > 1 and (swept := _swept(studies)):
        names = ",".join(one.removeprefix(STUDY) for one in studies)
        others = [
            one for one in args if one not in ("-m", "--multirun") and not one.lstrip("+").startswith(STUDY)
        ]
        commands = ", ".join(shlex.join(["bridgelab", "train", one, *others]) for one in studies)
        raise UsageError(
            f"{STUDY}{names}: Hydra ignores a study's own sweep ({swept[0]}) if several studies are swept, so each would be a single run. "
            f"Give one command each: {commands}"
        )


def _refuse_another_verdict(config: Any, args: Sequence[str]) -> None:
    """Refuse to train into a study whose finished runs declare another verdict: its report would be refused after the training.

    Raises:
        UsageError: with the command that reports these runs with this verdict, without training them again.
    """
    from bridgelab.runs.declared_verdict import another_verdict
    from bridgelab.runs.quoted import quoted

    study = Path(config.paths.runs) / config.study
    baseline, delta = str(config.verdict.baseline), float(config.verdict.delta)
    if (declared := another_verdict(study, baseline, delta)) is None:
        return
    own = {"baseline": baseline, "delta": delta}
    key = next(key for key, value in own.items() if declared[key] != value)
    kept = [one for one in args if one.partition("=")[0].lstrip("+") not in ("study", "paths.reuse")]
    command = ["bridgelab", "train", *kept, f"study={NEW_STUDY}", f"paths.reuse=[{quoted(str(study))}]"]
    raise UsageError(
        f"verdict.{key}={own[key]}: finished runs of {study} declare {declared[key]}, and a study has one verdict. Give that value, or a "
        f"study of its own, which takes over the finished runs without training them again: {shlex.join(command)}"
    )


def refuse_lists(overrides: Sequence[str], sweep: Sequence[str]) -> None:
    """Refuse several values of a key where no sweep is asked for.

    Args:
        overrides: of the command line.
        sweep: the words of the command line that would sweep them.
    Raises:
        UsageError: with that command line.
    """
    from bridgelab.config.compose import lists

    if several := lists(overrides):
        raise UsageError(
            f"{several[0]}: a run takes one value, and several are a sweep, a run for each. Write -m for a sweep: {shlex.join(sweep)}"
        )


def parse(args: Sequence[str], command: str = "train") -> tuple[Any, list[str]]:
    """Return Hydra's options and the overrides of a command line.

    Raises:
        UsageError: if Hydra has no such option, with the nearest one.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    options, rest = parser.parse_known_args(list(args))
    # argparse takes the overrides before the first option or those after it, and leaves the others.
    if flags := [one for one in rest if one.startswith("-")]:
        known = [name for action in parser._actions for name in action.option_strings]
        hint = nearest(flags[0], known)
        raise UsageError(
            f"there is no option {flags[0]}. {hint or f'bridgelab {command} --help lists what there is.'}"
        )
    return options, [*options.overrides, *rest]


def options_first(args: Sequence[str]) -> list[str]:
    """Return a command line with its options before its overrides, since Hydra takes no override after both."""
    parsed, overrides = parse(args)
    if overrides == parsed.overrides:
        return list(args)  # as it is: Hydra reads it alike
    options = list(args)
    for one in overrides:
        options.remove(one)
    return [*options, *overrides]


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
    from hydra.core.override_parser.types import Quote, QuotedString
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
            quoted = shlex.quote(f"{key}={QuotedString(expanded, Quote.double).with_quotes()}")
            if value.startswith(("[", "{")):
                quoted = "each text inside so, as in " + shlex.quote(key + '=["A","B"]')
            raise UsageError(
                f"{key}={value} can't be read: text with signs or letters beyond ASCII is quoted, for the shell and for Hydra. "
                f"Write {quoted}"
            ) from error


def check_keys(args: Sequence[str], command: str = "train", schema: Any = None) -> None:
    """Check that the keys of a command's config exist. Hydra's own message has no suggestion.

    Keys that a study sweeps are checked too. Keys inside groups that name a class, such as `bridge.width`, are left to Hydra,
    because a class of the user's own has other keys.

    Args:
        args: overrides.
        command: for the message.
        schema: the config's keys; by default those of a training.
    Raises:
        UsageError: with the nearest key, or the new name of one that was renamed.
    """
    from bridgelab.config.check import declared
    from bridgelab.config.closest_key import nearest as nearest_key
    from bridgelab.config.schema.config import CLASSES, Config

    known = declared(schema or Config) | ({"experiments"} if command == "train" else set())
    for arg in [*args, *_swept(args)]:
        key, equals, _ = arg.partition("=")
        name = key.lstrip("+~")
        if not equals and not key.startswith("~"):
            hint = f". Write {name}=VALUE" if name in known else nearest_key(name, known) or ". Leave it out"
            raise UsageError(f"{arg}: an override is written KEY=VALUE{hint}.".replace("?.", "?"))
        top, dot, _ = name.partition(".")
        if name in known or set("/@") & set(name) or top == "hydra" or (dot and top in CLASSES & known):
            continue
        hint = nearest_key(name, known) or f". bridgelab {command} --help lists the keys"
        raise UsageError(f"{arg}: there is no key {name}{hint}.".replace("?.", "?"))


def _swept(args: Sequence[str]) -> list[str]:
    """Return what the studies on a command line sweep, as further arguments."""
    from omegaconf import OmegaConf

    swept: list[str] = []
    for name in (arg.removeprefix(STUDY) for arg in args if arg.startswith(STUDY)):
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
                    choose(match[1], name.removesuffix(".yaml"), options, OWN_STUDY.get(match[1], ""))
