"""Arguments and checks that several commands share."""

import argparse
import difflib
import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bridgelab.printable import printable_json

LISTED = 8  # names in a message
LAST = "last.ckpt"  # of a run


class UsageError(Exception):
    """A command line that names something that does not exist."""


def choose(kind: str, name: str, options: Iterable[str], otherwise: str = "") -> None:
    """Check that a name is one of the options.

    Args:
        kind: what is named.
        name: the name.
        options: what there is.
        otherwise: what to do if it is meant to be none of these.
    Raises:
        UsageError: if it is not, with the options and the nearest one.
    """
    options = list(options)
    if name not in options:
        raise UsageError(
            f"{kind} {name!r} is not one of {', '.join(options)}. {' '.join(filter(None, [nearest(name, options), otherwise]))}".strip()
        )


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with the nearest name, as the other errors of a command line are.

    An option has to be written out: an abbreviation may be a slip, and hours of training follow from some options.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """Print the error and end the process with status 2."""
        wrong = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (-\S+)", message)
        hint = ""
        if wrong:
            options = [name for action in self._actions for name in action.option_strings]
            choices = [str(name) for action in self._actions for name in action.choices or ()]
            hint = nearest(wrong[1], choices) if wrong[1] else nearest(wrong[2], options)
        self.exit(2, f"{self.prog}: {message}. {hint or f'{self.prog} --help says what it takes.'}\n")


def folder(path: Path) -> Path:
    """Return the path of a study or a run.

    Raises:
        UsageError: if there is no such folder, with the nearest name or what there is.
    """
    if path.is_dir():
        return path
    absent = next(one for one in reversed((path, *path.parents)) if not one.is_dir())
    others = sorted(one.name for one in absent.parent.glob("*") if one.is_dir())
    close = difflib.get_close_matches(absent.name, others, n=1, cutoff=0.5)
    if absent.exists():
        hint = f"{absent} is a file."
    elif close:
        hint = f"Did you mean {str(absent.parent / close[0])!r}?"
    elif others and len(others) <= LISTED:
        hint = f"{absent.parent} holds {', '.join(others)}."
    else:
        hint = "bridgelab train makes runs/<study>/<run>."
    raise UsageError(f"there is no folder {path}. {hint}")


def run_folder(path: Path) -> Path:
    """Return the path of a trained run.

    Raises:
        UsageError: if there is no such folder, or it holds no trained run.
    """
    folder(path)
    for name in ("config.yaml", LAST):
        if not (path / name).exists():
            runs = sorted(one for one in path.glob("*") if (one / LAST).exists())
            other = (
                f"such as {shlex.quote(str(runs[0]))}"
                if runs
                else "a folder in runs/<study>/ with its last.ckpt"
            )
            raise UsageError(f"{path} is not a trained run: it has no {name}. Give a run, {other}.")
    return path


def file(path: Path, what: str) -> Path:
    """Return the path of a file to read.

    Raises:
        UsageError: if there is no such file, with the nearest name.
    """
    if path.is_file():
        return path
    if path.is_dir():
        example = f", such as {path / LAST}" if (path / LAST).is_file() else ""
        raise UsageError(f"{path} is a folder. Give a file in it{example}.")
    others = [str(one) for one in sorted(path.parent.glob("*"))] if path.parent.is_dir() else []
    raise UsageError(f"there is no {what} {path}. {nearest(str(path), others) or 'Give the path of a file.'}")


def nearest(name: str, options: Sequence[str]) -> str:
    """Return a question after the nearest option, or nothing."""
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def add_allow(parser: argparse.ArgumentParser) -> None:
    """Add `--allow KEY`."""
    parser.add_argument(
        "--allow", action="append", default=[], metavar="KEY",
        help="compare runs although they differ in this key, such as train.steps; a note under the table says so (may be repeated)",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON, for a script")


def print_json(content: Any) -> None:
    """Print content as JSON. Numbers that are not finite become null, as JSON has none."""
    print(printable_json(json.dumps(_finite(content), indent=1, ensure_ascii=False)))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust`."""
    parser.add_argument(
        "--trust", action="store_true",
        help="import and run code from outside bridgelab that a run's config names, such as your own bridge",
    )  # fmt: skip
