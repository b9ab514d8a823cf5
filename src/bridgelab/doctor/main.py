"""`bridgelab doctor`: one table. What is heavy is imported when it is known what is asked."""

import argparse
import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from bridgelab.doctor.check import Check

COUNTS = re.compile(r"(images|examples)=(\d+(?:\+\d+)*)")
STYLES = {"ok": "green", "missing": "bold red"}


def doctor(args: Sequence[str]) -> None:
    """Say what is there and what is missing; with a run's overrides also how big it is going to be.

    Args:
        args: overrides as of `bridgelab train`; `images=N+M` and `examples=N+M` tell of data that is not here.
    Raises:
        ValueError: if the overrides name what there is not, or give a key what it may not have.
    """
    parser = argparse.ArgumentParser(
        "bridgelab doctor",
        description="What is installed, what is reachable, and how big a run is going to be.",
        epilog="bridgelab doctor vision=openclip_vit_l_14 text=flan_t5_xl benchmark=gqa bridge=qformer train.batch_size=32",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value",
        help="as of `bridgelab train`: then also a run's models, data, disk, memory and hours. "
        "images=N and examples=N, or N+M for train and test, where the data are not here",
    )  # fmt: skip
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="as of `bridgelab train`; lists count without it too"
    )
    given = parser.parse_args(list(args)).overrides
    from bridgelab.console import get_console
    from bridgelab.training.main import ROOT

    console = get_console()
    counts = {m[1]: tuple(map(int, m[2].split("+"))) for one in given if (m := COUNTS.fullmatch(one))}
    overrides = [one for one in given if not COUNTS.fullmatch(one)]
    with _quiet():
        from bridgelab.config.check import check_config
        from bridgelab.doctor.sweep import sweep

        found = sweep(ROOT / "conf", overrides)
        check_config(found.config)
        _show(console, "this machine", _machine(ROOT, found.config))
        if given:
            from bridgelab.doctor.run import run

            for title, findings in run(ROOT / "conf", found, counts):
                _show(console, title, findings)


def _machine(root: Path, config: "DictConfig") -> Iterator["Check"]:
    from bridgelab.doctor.machine import machine
    from bridgelab.doctor.reachable import miniature

    folders = {Path(config.paths[name]) for name in ("runs", "features")}
    yield from machine(root, sorted(folders))
    yield miniature()


def _show(console: Any, title: str, findings: Iterable["Check"]) -> None:
    """A table, once all of it is known."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("", "what", "found", "what to do"):
        table.add_column(head, overflow="fold", no_wrap=head in ("", "what"))
    with console.status(f"{title} …"):
        for one in findings:
            table.add_row(
                Text(one.mark, style=STYLES.get(one.mark, "")), *map(Text, (one.what, one.found, one.fix))
            )
    console.print(table)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what libraries say of models that are built without weights."""
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
