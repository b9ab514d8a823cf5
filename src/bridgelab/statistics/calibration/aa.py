"""A/A tests on real runs: the seeds of one bridge are split in two, and the halves judged as if they were two bridges.

Nothing but the seeds differs between the halves, so a cell that *breaks* or *leads* is a false alarm, on real questions, images and
inits. All splits of the same runs are tried. They are not independent, so their share of false alarms is a check and not an estimate
of a rate. Convergence is not tested, as it changes no outcome.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from bridgelab.runs.study import Study
from bridgelab.statistics.comparison import cell_contrasts
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.question_kinds import kind_masks
from bridgelab.statistics.verdict import BREAKS, HOLDS, LEADS, MIN_SEEDS, judge

SECOND_HALF = " again"  # suffix of the second half's name


@dataclass(frozen=True)
class SplitResults:
    """The verdicts of all splits of a bridge's seeds.

    Args:
        seeds: number of seeds that were split.
        splits: number of splits.
        alarms: number of splits in which a cell breaks or leads, which is false.
        holds: share of cells that hold, over all splits.
        covers: share of cells whose 95 % interval contains 0.
        largest: the largest difference of a cell, in units of accuracy.
    """

    seeds: int
    splits: int
    alarms: int
    holds: float
    covers: float
    largest: float


def seed_splits(study: Study, row: str) -> Iterator[Study]:
    """Yield, for each split of a row's runs, a study of the two halves, the second under another name.

    If the number of runs is odd, the last seed is left out. The first run is always in the first half: which half is the baseline
    changes the sign of a difference only.

    Raises:
        ValueError: if a half has fewer seeds than a verdict needs.
    """
    runs = sorted(study.of(row), key=lambda run: (run.data_seed, run.seed))
    half = len(runs) // 2
    if half < MIN_SEEDS:
        raise ValueError(
            f"{row} of {study.name} has {len(runs)} seeds: at least {2 * MIN_SEEDS} are needed, {MIN_SEEDS} for each half. "
            f"Train it with seed={','.join(str(k) for k in range(2 * MIN_SEEDS))}."
        )
    runs = runs[: 2 * half]
    for others in combinations(runs[1:], half - 1):
        first = (runs[0], *others)
        renamed = (
            replace(
                run, record=run.record | {"bridge": row if run in first else row + SECOND_HALF}, levels={}
            )
            for run in runs
        )
        yield replace(study, runs=tuple(renamed), missing=())


def judge_splits(study: Study, row: str) -> SplitResults:
    """Judge every split of a row's seeds.

    Args:
        study: as `read_study` returns it.
        row: one of its rows, whose bridge sees images.
    Raises:
        ValueError: if the row has too few seeds, or the study no questions or a single image.
    """
    if not kind_masks(study.examples) or len(set(study.clusters)) < 2:
        raise ValueError(
            f"{study.name} has no questions, or one image alone: there is nothing to judge {row} by."
        )
    delta = declaration(study).delta
    findings = [
        list(judge(cell_contrasts(split, row)[0], delta=delta).values()) for split in seed_splits(study, row)
    ]
    intervals = np.array([[cell.contrast.interval() for cell in cells] for cells in findings], dtype=float)
    return SplitResults(
        seeds=len(study.of(row)) // 2 * 2,
        splits=len(findings),
        alarms=sum(any(cell.outcome in (BREAKS, LEADS) for cell in cells) for cells in findings),
        holds=float(np.mean([[cell.outcome == HOLDS for cell in cells] for cells in findings])),
        covers=float(np.mean((intervals[..., 0] <= 0) & (intervals[..., 1] >= 0))),
        largest=float(np.abs([[cell.contrast.value for cell in cells] for cells in findings]).max()),
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
