"""A/A tests on real runs: the seeds of one bridge are split in two, and the halves judged as if they were two bridges.

Nothing but the seeds differs between the halves, so a cell that *breaks* or *leads* is a false alarm, on real questions, images and
inits. All splits of the same runs are tried. They are not independent, so their share of false alarms is a check and not an estimate
of a rate. Convergence is not tested, as it changes no outcome. Where several orders of examples have several seeds each, the verdict
averages over seeds, so orders are split.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, groupby

import numpy as np

from bridgelab.runs.run import Run, averages_seeds
from bridgelab.runs.study import Study
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.outcome import BREAKS, HOLDS, LEADS, MIN_SEEDS, ORDERS, SEEDS, judge
from bridgelab.statistics.question_kinds import kind_masks
from bridgelab.statistics.verdict import cell_contrasts

SECOND_HALF = " again"  # suffix of the second half's name


@dataclass(frozen=True)
class SplitResults:
    """The verdicts of all splits of a bridge's seeds.

    Args:
        seeds: number of seeds that were split, or of orders of examples.
        counted: which of the two.
        splits: number of splits.
        alarms: number of splits in which a cell breaks or leads, which is false.
        holds: share of cells that hold, over all splits and the cells that can be judged.
        covers: share of these cells whose 95 % interval contains 0.
        largest: the largest difference of a cell, in units of accuracy.
    """

    seeds: int
    counted: str
    splits: int
    alarms: int
    holds: float
    covers: float
    largest: float


def seed_splits(study: Study, row: str) -> Iterator[Study]:
    """Yield, for each split of a row's seeds or orders, a study of the two halves, the second under another name.

    If their number is odd, the last one is left out. The first one is always in the first half: which half is the baseline
    changes the sign of a difference only.

    Raises:
        ValueError: if a half has fewer than a verdict needs.
    """
    units, counted = _units(study, row)
    half = len(units) // 2
    if half < MIN_SEEDS:
        key = "data_seed" if counted == ORDERS else "seed"
        raise ValueError(
            f"{row} of {study.name} has {len(units)} {counted}: at least {2 * MIN_SEEDS} are needed, {MIN_SEEDS} for each half. "
            f"Train it with {key}={','.join(str(k) for k in range(2 * MIN_SEEDS))}."
        )
    units = units[: 2 * half]
    for others in combinations(units[1:], half - 1):
        first = {run for unit in (units[0], *others) for run in unit}
        renamed = (
            replace(
                run, record=run.record | {"bridge": row if run in first else row + SECOND_HALF}, levels={}
            )
            for unit in units
            for run in unit
        )
        yield replace(study, runs=tuple(renamed), missing=())


def _units(study: Study, row: str) -> tuple[list[list[Run]], str]:
    """Return the runs of a row in the units that the verdict counts, orders of examples or seeds, and which of the two."""
    runs = sorted(study.of(row), key=lambda run: (run.data_seed, run.seed))
    if averages_seeds(runs):
        return [list(group) for _, group in groupby(runs, key=lambda run: run.data_seed)], ORDERS
    return [[run] for run in runs], SEEDS


def judge_splits(study: Study, row: str) -> SplitResults:
    """Judge every split of a row's seeds.

    Args:
        study: as `read_study` returns it.
        row: one of its rows, whose bridge sees images.
    Raises:
        ValueError: if the row has too few seeds or orders of examples, or the study no questions, a single image or no cell that can
            be judged.
    """
    if not kind_masks(study.examples) or len(set(study.clusters)) < 2:
        raise ValueError(
            f"{study.name} has no questions, or one image alone: there is nothing to judge {row} by."
        )
    delta = declaration(study).delta
    findings = [
        list(judge(cell_contrasts(split, row)[0], delta=delta).values()) for split in seed_splits(study, row)
    ]
    judged = [cell for cells in findings for cell in cells if not math.isnan(cell.p)]
    if not judged:
        raise ValueError(
            f"{row} of {study.name} has no kind of question that can be judged: {findings[0][0].reason}. Evaluate it on more images."
        )
    intervals = np.array([cell.contrast.interval() for cell in judged], dtype=float)
    units, counted = _units(study, row)
    return SplitResults(
        seeds=len(units) // 2 * 2,
        counted=counted,
        splits=len(findings),
        alarms=sum(any(cell.outcome in (BREAKS, LEADS) for cell in cells) for cells in findings),
        holds=float(np.mean([cell.outcome == HOLDS for cell in judged])),
        covers=float(np.mean((intervals[..., 0] <= 0) & (intervals[..., 1] >= 0))),
        largest=float(np.abs([cell.contrast.value for cell in judged]).max()),
    )


def judge_all_splits(study: Study) -> dict[str, SplitResults]:
    """Judge every split of each trained bridge that sees images, by row.

    Raises:
        ValueError: if there is no such bridge; else as `judge_splits`.
    """
    rows = [name for name in study.bridges if (run := study.of(name)[0]).trains and run.sees == "image"]
    if not rows:
        raise ValueError(f"{study.name} has no trained bridge that sees images. Name a study that has one.")
    return {name: judge_splits(study, name) for name in rows}
