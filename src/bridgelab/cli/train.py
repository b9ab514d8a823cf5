"""`bridgelab train`: train a bridge, or all runs of a study."""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bridgelab.cli.arguments import choose
from bridgelab.cli.hydra_app import hydra_app
from bridgelab.cli.key_comments import ExplainedKey, explained_keys, head_comment
from bridgelab.cli.overrides import check_training, conf_folder, options_first

WIDTH = 120  # columns
COLUMN = 40  # where comments begin


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if {"-h", "--help"} & set(args):
        print(_train_help(args), end="")
        return
    check_training(args)
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab train", "bridgelab.training.main", options_first(args))


def _train_help(args: Sequence[str]) -> str:
    """Return the help: groups with their options, studies, launchers, and every key with its default and its meaning.

    Args:
        args: of options that are chosen among them, as in `bridge=qformer`, the keys are explained too.
    """
    conf = conf_folder()
    folders = {path.name: path for path in sorted(conf.iterdir()) if path.is_dir()}
    groups = {name: path for name, path in folders.items() if name not in ("hydra", "pretrain")}
    groups |= {"experiments": conf.parent / "experiments", "hydra/launcher": conf / "hydra" / "launcher"}
    chosen = [arg.partition("=") for arg in args if "=" in arg]
    for group, _, option in chosen:
        if group in groups and not (groups[group] / f"{option}.yaml").is_file():
            choose(group, option, sorted(path.stem for path in groups[group].glob("*.yaml")))
    if options := [(group, option) for group, _, option in chosen if group in groups]:
        return "\n".join(line for one in options for line in _option_help(*one, groups[one[0]]))
    lines = [
        "usage: bridgelab train [-m] [GROUP=OPTION ...] [KEY=VALUE ...]", "",
        "Train one run; with -m one run per combination of values given as A,B,C. The same command continues an interrupted run.",
        "--cfg job prints the config without training; --hydra-help lists Hydra's own options.",
        "bridgelab train GROUP=OPTION --help explains an option and its keys.", "",
        "groups:",
    ]  # fmt: skip
    for group, folder in groups.items():
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines += textwrap.wrap(f"{group}={names}", WIDTH, initial_indent="  ", subsequent_indent="      ")
    text = (conf / "train.yaml").read_text()
    return "\n".join([*lines, "", "keys, with their defaults:", *_key_lines(explained_keys(text)), ""])


def _option_help(group: str, option: str, folder: Path) -> list[str]:
    """Return the lines that explain an option of a group: what its yaml says of it, and its keys."""
    text = (folder / f"{option}.yaml").read_text()
    keys = explained_keys(text)
    if group == "experiments":  # whose keys are the config's own
        prefix = ""
    else:
        prefix = f"{group.replace('/', '.')}."
    named = [replace(key, name=f"{prefix}{key.name}") for key in keys]
    return [
        f"{group}={option}",
        *(f"  {line}".rstrip() for line in head_comment(text)),
        *_key_lines(named),
        "",
    ]


def _key_lines(keys: Sequence[ExplainedKey]) -> list[str]:
    """Return a line for each key, `name=default`, and its comment, beside it or below it."""
    lines = []
    for key in keys:
        if not (key.default or key.comment):
            continue  # a group whose keys follow
        written = f"  {key.name}={key.default}" if key.default else f"  {key.name}"
        if len(written) <= COLUMN - 2:
            written = f"{written:{COLUMN}}"
        else:
            lines.append(written)
            written = " " * COLUMN
        lines += textwrap.wrap(f"{written}{key.comment}", WIDTH, subsequent_indent=" " * COLUMN) or [written]
    return [line.rstrip() for line in lines if line.strip()]
