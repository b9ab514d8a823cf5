"""The help of a command that takes a config: its groups with their options, and every key with its default and its meaning."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bridgelab.cli.arguments import choose
from bridgelab.cli.key_comments import ExplainedKey, explained_keys, head_comment
from bridgelab.cli.overrides import conf_folder

STARTS_FROM = re.compile(
    r"^defaults:(?: \[(.*)\]$|\n((?:  - [\w./-]+\n)+))", re.MULTILINE
)  # options of its own group
WIDTH = 120  # columns
COLUMN = 40  # where comments begin


def config_help(command: str, purpose: Sequence[str], args: Sequence[str]) -> str:
    """Return the help of a command.

    Args:
        command: its name, which is also that of its config in `conf/`.
        purpose: lines that say what it does.
        args: of options that are chosen among them, as in `bridge=qformer`, the keys are explained instead.
    Raises:
        UsageError: if a group has no such option, with the nearest one.
    """
    text = (conf_folder() / f"{command}.yaml").read_text()
    groups = _groups(command, text)
    chosen = [arg.partition("=") for arg in args if "=" in arg]
    for group, _, option in chosen:
        if group in groups and not (groups[group] / f"{option}.yaml").is_file():
            choose(group, option, sorted(path.stem for path in groups[group].glob("*.yaml")))
    if options := [(group, option) for group, _, option in chosen if group in groups]:
        return "\n".join(line for one in options for line in _option_help(*one, groups[one[0]]))
    lines = [
        f"usage: bridgelab {command} [-m] [GROUP=OPTION ...] [KEY=VALUE ...]", "",
        *purpose,
        "--cfg job prints the config without training; --hydra-help lists Hydra's own options.",
        f"bridgelab {command} GROUP=OPTION --help explains an option and its keys.", "",
        "groups:",
    ]  # fmt: skip
    for group, folder in groups.items():
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines += textwrap.wrap(f"{group}={names}", WIDTH, initial_indent="  ", subsequent_indent="      ")
    return "\n".join([*lines, "", "keys, with their defaults:", *_key_lines(explained_keys(text)), ""])


def _groups(command: str, text: str) -> Mapping[str, Path]:
    """Return the folders of the groups that a config's defaults choose from, and for a training that of the studies."""
    conf = conf_folder()
    defaults = text.partition("\ndefaults:")[2].partition("\n\n")[0]
    folders = {path.name: path for path in sorted(conf.iterdir()) if path.is_dir()}
    groups = {name: path for name, path in folders.items() if f"- {name}:" in defaults}
    if command == "train":
        groups["experiments"] = conf.parent / "experiments"
    return groups | {"hydra/launcher": conf / "hydra" / "launcher"}


def _option_help(group: str, option: str, folder: Path) -> list[str]:
    """Return the lines that explain an option of a group: what its yaml says of it, and its keys."""
    text = (folder / f"{option}.yaml").read_text()
    keys = _with_inherited(option, folder).values()
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


def _with_inherited(option: str, folder: Path) -> dict[str, ExplainedKey]:
    """Return the keys of an option by name, with those of the options of its group that it starts from. Its own values replace theirs."""
    text = (folder / f"{option}.yaml").read_text()
    keys: dict[str, ExplainedKey] = {}
    if listed := STARTS_FROM.search(text):
        for base in re.findall(r"\w[\w./-]*", listed[1] or listed[2]):
            if base != "_self_":
                keys |= _with_inherited(base, folder)
    return keys | {own.name: own for own in explained_keys(text)}


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
