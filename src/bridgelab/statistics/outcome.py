"""The outcome of each cell: the baseline breaks, leads or holds, or the data cannot tell.

A cell is the difference baseline − comparator over one kind of question. δ is the least difference that matters, declared before
the study.

- *breaks*: the difference is below −δ; *leads*: it is above δ. One two-sided test per cell against the nearer bound, corrected over
  all cells of the study (Holm 1979). A cell that cannot be judged stays in the family with p = 1: whether it can be judged depends
  on the data, so dropping it must not make the other tests easier.
- *holds*: the difference lies within ±δ, by two one-sided tests at 5 % (TOST; Schuirmann 1987, doi:10.1007/BF01068419). This is a
  claim about one cell, so it is not corrected over cells.
- *cannot tell*: none of these; always with fewer than three seeds of either bridge, or three orders of examples if seeds are averaged.

If either bridge is not shown to have converged (`convergence`), the outcome holds *at this budget*.

`make calibrate` prints how often each outcome is wrong.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgelab.benchmark.too_few import too_few
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.multiple_testing import ALPHA, holm, holm_levels
from bridgelab.statistics.power.sample_size import describe_sample_size, required_sample_size

DELTA = 0.02
MIN_SEEDS = 3
MIN_OUTLIER_DISTANCE = 0.1  # five times the usual δ: a seed this far from the others has failed, not varied
SEEDS, ORDERS = "seeds", "orders of examples (data_seed)"  # what is counted
NOT_JUDGED = (1.0, 1.0, 1.0)  # p values of a cell that cannot be judged

BREAKS, LEADS, HOLDS, CANNOT_TELL = "breaks", "leads", "holds", "cannot tell"
AT_BUDGET = "at this budget"


@dataclass(frozen=True)
class Finding:
    """The outcome of one cell.

    Args:
        outcome: `BREAKS`, `LEADS`, `HOLDS` or `CANNOT_TELL`.
        contrast: the difference baseline − comparator.
        p: p value of *breaks or leads*, corrected over all cells; nan if the cell is not judged.
        reason: why a cell cannot be told, or what would settle it; empty for other outcomes.
        level: level of `holm_interval`.
        at_budget: whether the outcome holds at this budget only, as one of the bridges is not shown to have converged.
    """

    outcome: str
    contrast: Contrast
    p: float
    reason: str = ""
    level: float = 1 - ALPHA
    at_budget: bool = False

    @property
    def description(self) -> str:
        """The outcome in words, with "at this budget" if it is limited to that."""
        return (
            f"{self.outcome} {AT_BUDGET}" if self.at_budget and self.outcome != CANNOT_TELL else self.outcome
        )

    @property
    def holm_interval(self) -> tuple[float, float]:
        """Interval that lies beyond ±δ if and only if the cell breaks or leads, at the level of Holm's step."""
        return _interval(self.contrast, self.level)

    @property
    def equivalence_interval(self) -> tuple[float, float]:
        """90 % interval, which lies within ±δ if and only if both one-sided tests of equivalence reject."""
        return _interval(self.contrast, 1 - 2 * ALPHA)

    @property
    def decisive_interval(self) -> tuple[float, float]:
        """The one of the two intervals that shows the outcome."""
        return _interval(self.contrast, self.decisive_level)

    @property
    def decisive_level(self) -> float:
        """Level of `decisive_interval`."""
        return 1 - 2 * ALPHA if self.outcome == HOLDS else self.level


def _interval(contrast: Contrast, level: float) -> tuple[float, float]:
    low, high = contrast.interval(level)
    return float(low), float(high)


def judge(
    cells: Mapping[Any, Contrast],
    *,
    delta: float = DELTA,
    at_budget: Collection[Any] = (),
    sizes: Mapping[Any, tuple[int, int]] | None = None,
    averaged: Collection[Any] = (),
) -> dict[Any, Finding]:
    """Return the outcome of each cell of a family.

    *Breaks* and *leads* are decided by a two-sided t test against the nearer of ±δ at 5 %, Holm-corrected over the family (Holm 1979);
    *holds* by two one-sided t tests at 5 % (Schuirmann 1987). Variances and degrees of freedom are those of `contrast`, whose means
    are assumed to be about normal over seeds and images.

    Args:
        cells: differences baseline − comparator, by any key; together they are one family of Holm's correction.
        delta: the least difference that matters, of accuracies in [0, 1].
        at_budget: keys of cells whose outcome holds at this budget only.
        sizes: number of questions and of images of each cell; by default its effective number of images decides whether they are few.
        averaged: keys of cells in which runs of one order of examples are averaged over seeds; see `runs.run.averages_seeds`.
    Returns:
        A finding per cell, by its key. A cell with fewer than three seeds of either bridge, or one image, is not judged.
    Raises:
        ValueError: if δ is not between 0 and 1.
    """
    check_delta(delta)
    if not cells:
        return {}
    counted = {key: ORDERS if key in averaged else SEEDS for key in cells}
    obstacles = {key: _obstacle(cell, counted[key]) for key, cell in cells.items()}
    p_of_cells = [NOT_JUDGED if obstacles[key] else p_values(cell, delta) for key, cell in cells.items()]
    below, above, inside = (np.array(column) for column in zip(*p_of_cells, strict=True))
    outcomes, corrected = decide_outcomes(below, above, inside)
    levels = holm_levels(two_sided(below, above))
    findings = {}
    for key, outcome, p, level in zip(cells, outcomes.tolist(), corrected, levels, strict=True):
        reason = obstacles[key]
        if not reason and outcome == CANNOT_TELL:
            size = required_sample_size(cells[key], delta, len(cells))
            reason = _too_few(cells[key], sizes[key] if sizes else None) or describe_sample_size(
                size, counted[key]
            )
        findings[key] = Finding(
            CANNOT_TELL if obstacles[key] else outcome,
            cells[key],
            math.nan if obstacles[key] else float(p),
            reason,
            float(level),
            key in at_budget,
        )
    return findings


def check_delta(delta: float) -> None:
    """Check that δ can be a difference of accuracies.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(
            f"verdict.delta={delta}: must lie between 0 and 1 (0.02 is 2 points). Set verdict.delta."
        )


def outlying_runs(accuracies: np.ndarray, questions: int) -> np.ndarray:
    """Return which runs of a bridge lie far from the median of all its runs, as a run does that failed to train [..., run].

    Far is more than `MIN_OUTLIER_DISTANCE`, and more than four standard errors (at most) of a share of this many questions. Of fewer
    than three runs, none is outlying.

    Args:
        accuracies: accuracy of each run [..., run].
        questions: number of questions behind each accuracy.
    """
    distance = np.abs(accuracies - np.median(accuracies, axis=-1, keepdims=True))
    threshold = max(MIN_OUTLIER_DISTANCE, 4 * math.sqrt(0.25 / questions))
    return (distance > threshold) & (accuracies.shape[-1] >= MIN_SEEDS)


def p_values(contrast: Contrast, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return p values of *below −δ*, of *above δ* and of *within ±δ* (the larger of TOST's two) [...]."""
    inside = np.maximum(contrast.p_above(-delta), contrast.p_below(delta))
    return contrast.p_below(-delta), contrast.p_above(delta), inside


def decide_outcomes(
    below: np.ndarray, above: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outcome of each cell, and its Holm-corrected p value of *breaks or leads*.

    Args:
        below, above, inside: p values as `p_values` returns them [..., cell]; the last axis is a family.
    """
    p = holm(two_sided(below, above))
    equivalent = np.where(inside < ALPHA, HOLDS, CANNOT_TELL)
    return np.where(p < ALPHA, np.where(below < above, BREAKS, LEADS), equivalent), p


def two_sided(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Return p values of *below −δ or above δ* [...]."""
    return np.minimum(1, 2 * np.minimum(below, above))


def _too_few(cell: Contrast, size: tuple[int, int] | None) -> str:
    """Return that a cell has too few questions or images to say how many would settle it, or an empty string."""
    if size is None:
        images = round(cell.num_images)
        return f"{images} images are too few" if too_few(images, images) else ""
    questions, images = size
    return f"{questions} questions on {images} images are too few" if too_few(questions, images) else ""


def too_few_seeds(cell: Contrast, counted: str) -> str:
    """Return that a cell has too few of what is counted, `SEEDS` or `ORDERS`, or an empty string."""
    fewest = min(cell.num_runs)
    return f"{fewest} of at least {MIN_SEEDS} {counted}" if fewest < MIN_SEEDS else ""


def _obstacle(cell: Contrast, counted: str) -> str:
    """Return why a cell cannot be judged, or an empty string."""
    if reason := too_few_seeds(cell, counted):
        return reason
    return "" if math.isfinite(cell.variance) and cell.num_images > 1 else "its questions are on 1 image"
