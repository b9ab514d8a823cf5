"""Where the baseline breaks, where it leads or holds, and where the data cannot tell.

A cell is the difference baseline − comparator over one kind of question, and δ the difference that matters, declared before
the study:

- *breaks*: it is below −δ; *leads*: it is above δ. One test a cell against the nearer bound, at 2.5 % a side, corrected over
  all cells of the study (Holm 1979). A cell that is not judged is among them, with p = 1: which cells are left out hangs on the
  data, so leaving them out may not make the others' tests easier.
- *holds*: it lies within ±δ, by two one-sided tests at 5 % (Schuirmann 1987, doi:10.1007/BF01068419). A claim about one cell, so
  not corrected over them.
- *cannot tell*: neither, with what would settle it; and always with fewer than three seeds of either bridge.

Where either bridge is not shown to have converged (`convergence`), an outcome stands, and holds *at this budget*.

`make calibrate` says how often each is wrong.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bridgelab.statistics.contrast import Contrast, redrawn

DELTA = 0.02
ALPHA = 0.05
LEAST_SEEDS = 3
MOST_SEEDS = 20  # that a study is told to run
IMAGES = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)  # times as many as there are
POWER = 0.8
DRAWS = 500  # of variances, when a study is planned: the power that they give is off by a point
APART = 0.1  # five times the usual δ: where seeds differ so, one of them has met another fate than the others
NOT_JUDGED = (1.0, 1.0, 1.0)  # the p values of a cell that is not judged

BREAKS, LEADS, HOLDS, CANNOT_TELL = "breaks", "leads", "holds", "cannot tell"
AT_BUDGET = "at this budget"


@dataclass(frozen=True)
class Finding:
    """What one cell says.

    Args:
        outcome: `BREAKS`, `LEADS`, `HOLDS` or `CANNOT_TELL`.
        p: of the test for breaks or leads, corrected over all cells; nan where the cell is not judged.
        why: what would settle a cell that cannot tell; empty for the others.
        level: of `adjusted`.
        at_budget: whether it holds at this budget alone, since one of the two is not shown to have converged.
    """

    outcome: str
    contrast: Contrast
    p: float
    why: str = ""
    level: float = 1 - ALPHA
    at_budget: bool = False

    @property
    def told(self) -> str:
        """The outcome in words."""
        return (
            f"{self.outcome} {AT_BUDGET}" if self.at_budget and self.outcome != CANNOT_TELL else self.outcome
        )

    @property
    def adjusted(self) -> tuple[float, float]:
        """The interval that lies beyond ±δ if and only if the cell breaks or leads: at the level of Holm's step."""
        return _ends(self.contrast, self.level)

    @property
    def plain(self) -> tuple[float, float]:
        """The interval that lies within ±δ if and only if neither bound is reached in the two one-sided tests: at 90 %."""
        return _ends(self.contrast, 1 - 2 * ALPHA)

    @property
    def decisive(self) -> tuple[float, float]:
        """The one of the two in which the outcome is seen."""
        return _ends(self.contrast, self.decisive_level)

    @property
    def decisive_level(self) -> float:
        """Its level."""
        return 1 - 2 * ALPHA if self.outcome == HOLDS else self.level


def _ends(found: Contrast, level: float) -> tuple[float, float]:
    low, high = found.interval(level)
    return float(low), float(high)


def judge(
    cells: Mapping[Any, Contrast], *, delta: float = DELTA, at_budget: Collection[Any] = ()
) -> dict[Any, Finding]:
    """What each cell of a study says.

    Args:
        cells: differences baseline − comparator, by any key.
        delta: the least difference that matters, of accuracies in 0 to 1.
        at_budget: cells whose outcome holds at this budget alone.
    Raises:
        ValueError: if δ is not between 0 and 1.
    """
    check_delta(delta)
    if not cells:
        return {}
    withheld = {key: _few(found) for key, found in cells.items()}
    of_cells = {
        key: p_values(found, delta) if not withheld[key] else NOT_JUDGED for key, found in cells.items()
    }
    below, above, inside = (np.array(row) for row in zip(*of_cells.values(), strict=True))
    outcomes, p = outcome(below, above, inside)
    levels = adjusted_levels(two_sided(below, above))
    findings = {}
    for key, said, corrected, level in zip(cells, outcomes, p, levels, strict=True):
        provisional = key in at_budget
        if why := withheld[key]:
            findings[key] = Finding(CANNOT_TELL, cells[key], math.nan, why, float(level), provisional)
        else:
            why = would_settle(cells[key], delta, len(cells)) if said == CANNOT_TELL else ""
            findings[key] = Finding(str(said), cells[key], float(corrected), why, float(level), provisional)
    return findings


def check_delta(delta: float) -> None:
    """Refuse a δ that no difference of accuracies can be held against.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(
            f"verdict.delta={delta}: must lie between 0 and 1 (0.02 is 2 points). Set verdict.delta."
        )


def stands_apart(values: np.ndarray, questions: int) -> np.ndarray:
    """Which runs of a bridge lie further from the median of all than `APART` and than chance takes them [..., run].

    Chance: four standard errors of a share of so many questions, at the most. Of fewer than three runs none stands apart.

    Args:
        values: accuracies of its runs, of each by itself [..., run].
        questions: how many each is over.
    """
    away = np.abs(values - np.median(values, axis=-1, keepdims=True))
    return (away > max(APART, 4 * math.sqrt(0.25 / questions))) & (values.shape[-1] >= LEAST_SEEDS)


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
    p = holm(two_sided(below, above))
    equal = np.where(inside < ALPHA, HOLDS, CANNOT_TELL)
    return np.where(p < ALPHA, np.where(below < above, BREAKS, LEADS), equal), p


def two_sided(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """P values of *below −δ or above δ* [...]."""
    return np.minimum(1, 2 * np.minimum(below, above))


def holm(p: np.ndarray) -> np.ndarray:
    """P values corrected step by step over the last axis (Holm 1979, Scandinavian Journal of Statistics 6, 65–70)."""
    return np.minimum(1, _stepped(p))


def adjusted_levels(p: np.ndarray) -> np.ndarray:
    r"""The level of the interval of each test that leaves out its bound if and only if Holm's correction rejects it [..., test].

    At a level $1 - \alpha p / p^*$, with p* the corrected p: of m tests, at most Bonferroni's $1 - \alpha / m$.
    """
    stepped, number = _stepped(p), p.shape[-1]
    times = np.divide(stepped, p, out=np.full(p.shape, float(number)), where=p > 0)
    return 1 - ALPHA / times


def _stepped(p: np.ndarray) -> np.ndarray:
    number = p.shape[-1]
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * (number - np.arange(number))
    placed = np.empty_like(steps)
    np.put_along_axis(placed, order, np.maximum.accumulate(steps, axis=-1), axis=-1)
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
        found.number * images,
    )


def settling(found: Contrast, delta: float, cells: int) -> float:
    """How likely a study is to be told anything but *cannot tell* of a cell, were its value and its variances the true ones.

    Args:
        found: of one cell.
        delta: as in `judge`.
        cells: of the study, for the correction.
    """
    seen, value, error = redrawn(found, DRAWS), float(found.value), float(found.error)
    beyond = delta + special.stdtrit(seen.freedom, 1 - ALPHA / 2 / cells) * seen.error
    within = delta - special.stdtrit(seen.freedom, 1 - ALPHA) * seen.error
    outside = special.ndtr((-beyond - value) / error) + special.ndtr((value - beyond) / error)
    inside = special.ndtr((within - value) / error) - special.ndtr((-within - value) / error)
    return float((outside + np.maximum(inside, 0)).mean())


def would_settle(found: Contrast, delta: float, cells: int) -> str:
    """How many seeds, or images, would settle a cell in 80 % of studies, were its value and its variances the true ones.

    Args:
        found: of one cell.
        delta: as in `judge`.
        cells: of the study, for the correction.
    """

    def settled(seeds: int, images: float) -> bool:
        return settling(planned(found, seeds, images), delta, cells) >= POWER

    def least(numbers: Sequence[int], enough: Callable[[int], bool]) -> int | None:
        """The first that is enough; more seeds or images find what fewer do."""
        place = bisect_left(numbers, True, key=enough)
        return numbers[place] if place < len(numbers) else None

    now = max(found.runs)
    if more := least(range(now + 1, MOST_SEEDS + 1), lambda seeds: settled(seeds, 1)):
        return f"{more} seeds would settle it"
    if times := least(IMAGES, lambda images: settled(now, images)):
        return f"{times} times the images would settle it"
    if both := least(IMAGES, lambda images: settled(MOST_SEEDS, images)):
        return f"{MOST_SEEDS} seeds and {both} times the images would settle it"
    return f"too near to a bound for {MOST_SEEDS} seeds and {IMAGES[-1]} times the images"


def _few(found: Contrast) -> str:
    fewest = min(found.runs)
    if fewest < LEAST_SEEDS:
        return f"{fewest} of at least {LEAST_SEEDS} seeds"
    return "" if math.isfinite(found.variance) and found.number > 1 else "its questions are on 1 image"
