"""The tables of `bridgelab doctor`. Everything heavy is imported once it is known what to check."""

import contextlib
import itertools
import json
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from bridgelab.doctor.check import Check

SIZES = re.compile(r"(images|examples)=(\d+(?:\+\d+)*)")
SPLITS = {1: ("train",), 2: ("train", "test"), 3: ("train", "val", "test")}  # of N, N+M, N+M+K
STYLES = {"ok": "green", "missing": "bold red"}


def doctor(overrides: Sequence[str], *, multirun: bool = False, as_json: bool = False) -> None:
    """Print what is installed and what is missing; with a run's overrides also what that run needs.

    Args:
        overrides: as for bridgelab train; `images=N+M` and `examples=N+M` are the sizes of data that are not here.
        multirun: whether a sweep is asked for; overrides with several values are one without it.
        as_json: whether to print the tables as JSON.
    Raises:
        ValueError: if the overrides do not compose, or give a key a value that it may not have.
    """
    sizes = {match[1]: sizes_of(match) for one in overrides if (match := SIZES.fullmatch(one))}
    from bridgelab.console import get_console
    from bridgelab.training.main import ROOT

    console = get_console()
    from bridgelab.config.check import check_config, check_launcher
    from bridgelab.config.compose import compose_sweep

    with _quiet():
        sweep = compose_sweep(ROOT / "conf", [one for one in overrides if not SIZES.fullmatch(one)])
        check_config(sweep.config)
        several = multirun or sweep.is_multirun or sweep.jobs > 1
        if several and "slots" in sweep.config.hydra.launcher:  # the pool, whose slots are predicted
            check_launcher(sweep.config)
        if overrides:
            from bridgelab.config.instantiate import check_classes

            check_classes(sweep.config)
        found: Iterable[tuple[str, Iterable[Check]]] = [("this machine", _machine(ROOT, sweep.config))]
        if overrides:
            from bridgelab.doctor.resources import tables

            found = itertools.chain(found, tables(sweep, sizes))
        if as_json:
            print(to_json(found))
            return
        for title, checks in found:
            _print(console, title, checks)


def to_json(tables: Iterable[tuple[str, Iterable["Check"]]]) -> str:
    """Return the checks of each table as JSON, by its title; a note's dash is `note` there."""
    content = {
        title: [asdict(check) | {"status": check.status.replace("–", "note")} for check in checks]
        for title, checks in tables
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def sizes_of(match: re.Match[str]) -> dict[str, int]:
    """Return the numbers of `images=N+M` by split; a single one of examples is that of train and of test.

    Raises:
        ValueError: if there are more numbers than splits.
    """
    numbers = list(map(int, match[2].split("+")))
    if len(numbers) not in SPLITS:
        raise ValueError(
            f"{match[0]}: give one number, or those of train and test, or of train, val and test."
        )
    sizes = dict(zip(SPLITS[len(numbers)], numbers, strict=True))
    return sizes | {"test": numbers[0]} if match[1] == "examples" and len(numbers) == 1 else sizes


def _machine(root: Path, config: "DictConfig") -> Iterator["Check"]:
    from bridgelab.doctor.machine import machine
    from bridgelab.doctor.model_availability import miniature

    yield from machine(root, sorted({Path(config.paths[name]) for name in ("runs", "features")}))
    yield miniature()


def _print(console: "Console", title: str, checks: Iterable["Check"]) -> None:
    """Print a table once all of its checks are made."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("", "what", "found", "what to do"):
        table.add_column(head, overflow="fold", no_wrap=head in ("", "what"))
    with console.status(f"{title} …"):
        for check in checks:
            status: Any = Text(check.status, style=STYLES.get(check.status, ""))
            table.add_row(status, *map(Text, (check.subject, check.detail, check.fix)))
    console.print(table)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what libraries say of models that are built without weights."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
