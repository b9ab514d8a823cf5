"""Where the baseline breaks, where it leads or holds, and where the data cannot tell.

A cell is the difference baseline − comparator over one kind of question, and δ the difference that matters, declared before
the study:

- *breaks*: it is below −δ; *leads*: it is above δ. One test a cell against the nearer bound, at 2.5 % a side, corrected over
  all cells of the study (Holm 1979).
- *holds*: it lies within ±δ, by two one-sided tests at 5 % (Schuirmann 1987, doi:10.1007/BF01068419). A claim about one cell, so
  not corrected over them.
- *cannot tell*: neither, with what would settle it; and always with fewer than three seeds of either bridge, or where either's
  curve is not flat, which compares how far training got.

`make calibrate` says how often each is wrong.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgelab.analysis.contrast import Contrast

DELTA = 0.02
ALPHA = 0.05
LEAST_SEEDS = 3
MOST_SEEDS = 20  # that a study is told to run
MOST_IMAGES = 50  # times as many as there are

BREAKS, LEADS, HOLDS, CANNOT_TELL = "breaks", "leads", "holds", "cannot tell"


@dataclass(frozen=True)
class Finding:
    """What one cell says.

    Args:
        outcome: `BREAKS`, `LEADS`, `HOLDS` or `CANNOT_TELL`.
        p: of the test for breaks or leads, corrected over all cells; nan where there are too few seeds.
        why: what would settle a cell that cannot tell; empty for the others.
    """

    outcome: str
    contrast: Contrast
    p: float
    why: str = ""


def judge(
    cells: Mapping[Any, Contrast], *, delta: float = DELTA, unsettled: Mapping[Any, str] | None = None
) -> dict[Any, Finding]:
    """What each cell of a study says.

    Args:
        cells: differences baseline − comparator, by any key.
        delta: the least difference that matters, of accuracies in 0 to 1.
        unsettled: cells that are not to be judged whatever their numbers, with the reason.
    Raises:
        ValueError: if δ is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(
            f"verdict.delta={delta}: must lie between 0 and 1 (0.02 is 2 points). Set verdict.delta."
        )
    unsettled = unsettled or {}
    few = {key: _few(found) for key, found in cells.items()}
    open_ = {key: unsettled.get(key) or few[key] for key in cells}
    tested = [key for key in cells if not open_[key]]
    outcomes, p = (
        outcome(
            *(np.array(row) for row in zip(*(p_values(cells[key], delta) for key in tested), strict=True))
        )
        if tested
        else ((), ())
    )
    findings = {key: Finding(CANNOT_TELL, cells[key], math.nan, why) for key, why in open_.items() if why}
    for key, said, corrected in zip(tested, outcomes, p, strict=True):
        why = would_settle(cells[key], delta, len(tested)) if said == CANNOT_TELL else ""
        findings[key] = Finding(str(said), cells[key], float(corrected), why)
    return {key: findings[key] for key in cells}


def p_values(found: Contrast, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P values of *below −δ*, of *above δ*, and of *within ±δ* (the larger of its two tests) [...]."""
    inside = np.maximum(found.p_above(-delta), found.p_below(delta))
    return found.p_below(-delta), found.p_above(delta), inside


def outcome(below: np.ndarray, above: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outcome of each cell, and its p value of breaking or leading, corrected.

    Args:
        below: p values as `p_values` gives them [..., cell]; each row is a family.
        above: likewise.
        inside: likewise.
    """
    p = holm(np.minimum(1, 2 * np.minimum(below, above)))
    equal = np.where(inside < ALPHA, HOLDS, CANNOT_TELL)
    return np.where(p < ALPHA, np.where(below < above, BREAKS, LEADS), equal), p


def holm(p: np.ndarray) -> np.ndarray:
    """P values corrected step by step over the last axis (Holm 1979, Scandinavian Journal of Statistics 6, 65–70)."""
    number = p.shape[-1]
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * (number - np.arange(number))
    corrected = np.minimum(1, np.maximum.accumulate(steps, axis=-1))
    placed = np.empty_like(corrected)
    np.put_along_axis(placed, order, corrected, axis=-1)
    return placed


def planned(found: Contrast, seeds: int, images: float) -> Contrast:
    """The same difference as it would be known from other numbers of seeds and, times so many, of images.

    Args:
        found: of one cell.
        seeds: of each bridge.
        images: times as many as there were.
    """
    before = np.array(found.runs) / seeds
    both = found.both * before / images
    of_images = np.maximum(found.images - found.both.sum(axis=-1), 0) / images + both.sum(axis=-1)
    return Contrast(
        found.value,
        found.own * before + both,
        both,
        of_images,
        tuple(seeds for _ in found.runs),
        int(found.number * images),
    )


def would_settle(found: Contrast, delta: float, cells: int) -> str:
    """How many seeds, or images, would settle a cell, were its value and its variances the true ones; for one half of studies.

    Args:
        found: of one cell.
        delta: as in `judge`.
        cells: how many are tested, for the correction.
    """

    def settled(seeds: int, images: float) -> bool:
        below, above, inside = (float(p) for p in p_values(planned(found, seeds, images), delta))
        return 2 * min(below, above) * cells < ALPHA or inside < ALPHA

    now = max(found.runs)
    more = next((n for n in range(now + 1, MOST_SEEDS + 1) if settled(n, 1)), None)
    if more:
        return f"{more} seeds would settle it"
    times = next((n for n in range(2, MOST_IMAGES + 1) if settled(now, n)), None)
    if times:
        return f"{times} times the images would settle it"
    both = next((n for n in range(2, MOST_IMAGES + 1) if settled(MOST_SEEDS, n)), None)
    if both:
        return f"{MOST_SEEDS} seeds and {both} times the images would settle it"
    return f"too near to a bound for {MOST_SEEDS} seeds and {MOST_IMAGES} times the images"


def _few(found: Contrast) -> str:
    fewest = min(found.runs)
    return f"{fewest} of at least {LEAST_SEEDS} seeds" if fewest < LEAST_SEEDS else ""
