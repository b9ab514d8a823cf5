"""A/A on real runs: a bridge's seeds are parted in two, and the halves judged as if they were two bridges.

`bridgelab calibrate runs/aa` does so for every way to part them. Nothing but the init differs between the halves, so a cell that
*breaks* or *leads* is a false alarm of the verdict, on real questions, real images and real inits; `calibrate` alone simulates
them. Whether bridges have converged is not asked: it changes no outcome. The
ways to part the same runs are not independent of each other: their share of false alarms is a check, no estimate of a rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.table import Table

from bridgelab.console import get_console
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.comparison import differences, kinds_of
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.verdict import BREAKS, HOLDS, LEADS, LEAST_SEEDS, judge

COLUMNS = (
    "bridge",
    "seeds",
    "partings",
    "with a cell that breaks or leads",
    "cells that hold, %",
    "interval holds 0, %",
    "largest difference, points",
)
AGAIN = " again"


@dataclass(frozen=True)
class Partings:
    """What all ways to part a bridge's seeds in two said.

    Args:
        seeds: of the bridge.
        number: of ways.
        alarms: in how many of them a cell breaks or leads, which is false.
        holds: share of cells that hold, over all ways.
        covers: share of cells whose 95 % interval holds 0.
        largest: the largest difference of a cell, of accuracies in 0 to 1.
    """

    seeds: int
    number: int
    alarms: int
    holds: float
    covers: float
    largest: float


def parted(study: Study, row: str) -> Iterator[Study]:
    """The study of one row for each way to part its runs in two, of which the second half has another name.

    Where their number is odd the last seed is left out; the first one is always in the first half, since which half is the
    baseline changes a difference's sign alone.

    Raises:
        ValueError: if the halves are smaller than the verdict's fewest seeds.
    """
    runs = sorted(study.of(row), key=lambda run: (run.data_seed, run.seed))
    half = len(runs) // 2
    if half < LEAST_SEEDS:
        raise ValueError(
            f"{row} of {study.name} has {len(runs)} seeds: at least {2 * LEAST_SEEDS} are needed, {LEAST_SEEDS} for each half. "
            f"Train it with seed={','.join(str(k) for k in range(2 * LEAST_SEEDS))}."
        )
    runs = runs[: 2 * half]
    for rest in combinations(runs[1:], half - 1):
        first = (runs[0], *rest)
        named = (
            replace(run, record=run.record | {"bridge": row if run in first else row + AGAIN}, levels={})
            for run in runs
        )
        yield replace(study, runs=tuple(named), missing=())


def partings(study: Study, row: str) -> Partings:
    """Judge all of them.

    Args:
        study: as read.
        row: of its table; a bridge that sees images.
    Raises:
        ValueError: if it has too few seeds, or the study no questions or a single image.
    """
    if not kinds_of(study.examples) or len(set(study.clusters)) < 2:
        raise ValueError(
            f"{study.name} has no questions, or one image alone: there is nothing to judge {row} by."
        )
    _, delta, _ = declaration(study)
    cells = [list(judge(differences(one, row)[0], delta=delta).values()) for one in parted(study, row)]
    intervals = np.array([[cell.contrast.interval() for cell in found] for found in cells], dtype=float)
    return Partings(
        seeds=len(study.of(row)) // 2 * 2,
        number=len(cells),
        alarms=sum(any(cell.outcome in (BREAKS, LEADS) for cell in found) for found in cells),
        holds=float(np.mean([[cell.outcome == HOLDS for cell in found] for found in cells])),
        covers=float(np.mean((intervals[..., 0] <= 0) & (intervals[..., 1] >= 0))),
        largest=float(np.abs([[cell.contrast.value for cell in found] for found in cells]).max()),
    )


def aa(folder: Path) -> None:
    """Print a row for each bridge of a study that sees images and is trained.

    Raises:
        ValueError: as `partings`.
    """
    study = read_study(folder)
    rows = [name for name in study.bridges if (run := study.of(name)[0]).trains and run.sees == "image"]
    if not rows:
        raise ValueError(f"{study.name} has no trained bridge that sees images. Name a study that has one.")
    _, delta, _ = declaration(study)
    table = Table(title=f"{study.name}: the same bridge under two names, δ = {100 * delta:g} points")
    for index, head in enumerate(COLUMNS):
        table.add_column(head, justify="right" if index else "left")
    for name in rows:
        found = partings(study, name)
        table.add_row(
            name,
            str(found.seeds),
            str(found.number),
            str(found.alarms),
            f"{100 * found.holds:.0f}",
            f"{100 * found.covers:.0f}",
            f"{100 * found.largest:.1f}",
        )
    console = get_console()
    console.print(table)
