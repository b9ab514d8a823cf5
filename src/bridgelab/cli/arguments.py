"""Arguments and checks that several commands share."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class UsageError(Exception):
    """A command line that names something that does not exist."""


def choose(kind: str, name: str, options: Iterable[str]) -> None:
    """Check that a name is one of the options.

    Raises:
        UsageError: if it is not, with the options and the nearest one.
    """
    options = list(options)
    if name not in options:
        raise UsageError(
            f"{kind} {name!r} is not one of {', '.join(options)}. {nearest(name, options)}".strip()
        )


def folder(study: Path) -> Path:
    """Return a study's folder.

    Raises:
        UsageError: if there is no such folder, with the nearest name.
    """
    if not study.is_dir():
        others = sorted(str(path) for path in study.parent.glob("*") if path.is_dir())
        raise UsageError(f"there is no folder {study}. {nearest(str(study), others)}".strip())
    return study


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


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add `--trust`."""
    parser.add_argument(
        "--trust", action="store_true",
        help="import and run code from outside bridgelab that a run's config names, such as your own bridge",
    )  # fmt: skip
