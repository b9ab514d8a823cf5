"""What several commands ask of their arguments."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class UsageError(Exception):
    """The command line asks for something that is not there."""


def choose(kind: str, name: str, options: Iterable[str]) -> None:
    options = list(options)
    if name not in options:
        raise UsageError(
            f"{kind} {name!r} is not one of {', '.join(options)}. {nearest(name, options)}".strip()
        )


def folder(study: Path) -> Path:
    """A study's folder that is there, or the nearest name."""
    if not study.is_dir():
        others = sorted(str(path) for path in study.parent.glob("*") if path.is_dir())
        raise UsageError(f"there is no folder {study}. {nearest(str(study), others)}".strip())
    return study


def nearest(name: str, options: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def add_allow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow", action="append", default=[], metavar="KEY",
        help="compare runs that differ in this, such as train.steps; said under the table (may be given again)",
    )  # fmt: skip


def add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust", action="store_true",
        help="import what a run's config names from outside of bridgelab, such as a bridge of one's own: its code is executed",
    )  # fmt: skip
