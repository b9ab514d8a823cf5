r"""The breakpoint: the level of difficulty at which the difference baseline − comparator passes −δ or δ.

Let $d(x)$ be the difference over questions at level x of a tag (objects, hops, …). A line is fitted over the levels, weighted by
their questions: $d(x) \approx \bar d + b (x - \bar x)$. Its slope b is the interaction of bridge and difficulty. Both b and the line
at any x are weighted sums of cells, so their variances are those of `contrast`. The test of b = 0 is a two-sided t test, corrected
over all comparators and tags of the study (Holm). The line passes a bound, −δ or δ, at x*; the 95 % interval of x* is the set of
levels at which the line's own interval contains the bound (Fieller 1954, doi:10.1111/j.2517-6161.1954.tb00159.x). Nothing is
extrapolated beyond the levels of the questions: an end of the interval that lies outside is open. It assumes that the difference is
about linear in the level.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bridgelab.runs.study import Study
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.difficulty_levels import difficulty_levels, numeric_tags
from bridgelab.statistics.multiple_testing import ALPHA, holm, holm_levels
from bridgelab.statistics.outcome import MIN_SEEDS, ORDERS, SEEDS, too_few_seeds
from bridgelab.statistics.verdict import averages_seeds_of, contrasts_to_baseline, rows_to_compare

GRID_POINTS = 101  # levels at which the line is evaluated
Cells = list[tuple[float, np.ndarray]]  # (weight, mask over examples)


@dataclass(frozen=True)
class Crossing:
    """The level at which a line passes a bound.

    Args:
        bound: −δ or δ.
        at: the level; −∞ or ∞ if it lies below the lowest or above the highest level.
        low: lower end of its 95 % interval; −∞ if that lies below the lowest level.
        high: upper end; ∞ if that lies above the highest level.
    """

    bound: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Breakpoint:
    """The trend of a difference over one tag, against one comparator.

    Args:
        tag: name of the tag.
        comparator: the bridge that the baseline is compared with.
        slope: change of the difference per step of the tag.
        p: p value of slope = 0, corrected over all comparators and tags of the study (Holm).
        level: level of the slope's interval that excludes 0 if and only if the slope is significant.
        span: lowest and highest level.
        crossings: where the line passes the bound that it approaches and, before that, the other bound if it does so within the
            span; None if the slope is not significant.
        baseline_worsens: whether the slope is negative.
        reason: why nothing is claimed; empty otherwise.
        at_budget: whether it holds at this budget only, as one of the bridges is not shown to have converged.
    """

    tag: str
    comparator: str
    slope: Contrast
    p: float
    level: float
    span: tuple[float, float]
    crossings: tuple[Crossing, ...] | None
    baseline_worsens: bool
    reason: str
    at_budget: bool


@dataclass(frozen=True)
class _Levels:
    """The levels of one tag.

    Args:
        masks: bool [example], one per level.
        centres: mean of the tag over the questions of each level [level].
    """

    masks: tuple[np.ndarray, ...]
    centres: np.ndarray

    @property
    def grid(self) -> np.ndarray:
        """Places from the lowest to the highest level at which the line is evaluated [place]."""
        return np.linspace(self.centres[0], self.centres[-1], GRID_POINTS)

    def slope(self) -> Cells:
        """Return the slope as weighted cells."""
        return self._cells(self._weights()[1])

    def line(self, x: float) -> Cells:
        """Return the line at x as weighted cells."""
        share, slope = self._weights()
        return self._cells(share + (x - float(share @ self.centres)) * slope)

    def _cells(self, weights: np.ndarray) -> Cells:
        return list(zip(weights.tolist(), self.masks, strict=True))

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each level's share of the questions, and its weight in the slope of weighted least squares."""
        counts = np.array([mask.sum() for mask in self.masks], dtype=float)
        offset = self.centres - np.average(self.centres, weights=counts)
        return counts / counts.sum(), counts * offset / (counts * offset**2).sum()


def breakpoints(study: Study) -> list[Breakpoint]:
    """Return the breakpoint of each comparator and each tag that counts something.

    The estimator is weighted least squares over levels with the variance of `contrast`; the module's docstring gives equation, test
    and sources.

    Args:
        study: as `read_study` returns it.
    Returns:
        An empty list if the study lacks its baseline, a comparator or such a tag.
    """
    baseline, delta, _ = declaration(study)
    baseline_rows = rows_to_compare(study, baseline)
    if not baseline_rows or len(set(study.clusters)) < 2:
        return []
    tags = dict(_tag_levels(study.examples))
    cells: dict[str, Cells] = {}
    for tag, levels in tags.items():
        cells[tag] = levels.slope()
        cells |= {_line_key(tag, k): levels.line(x) for k, x in enumerate(levels.grid)}
    contrasts = contrasts_to_baseline(study, baseline, cells)
    slopes = {key: contrast for key, contrast in contrasts.items() if key[1] in tags}
    p = _p_of_zero(list(slopes.values()))
    results = []
    for ((name, tag), slope), corrected, level in zip(
        slopes.items(), holm(p) if len(p) else p, holm_levels(p) if len(p) else p, strict=True
    ):
        averaged = averages_seeds_of(study, (baseline_rows[name], name))
        reason = too_few_seeds(slope, ORDERS if averaged else SEEDS)
        worsens = bool(slope.value < 0)
        grid = tags[tag].grid
        crossings = None
        if corrected < ALPHA and not reason:
            line = [contrasts[name, _line_key(tag, k)] for k in range(GRID_POINTS)]
            crossings = _crossings(grid, line, -delta if worsens else delta)
        results.append(
            Breakpoint(
                tag=tag,
                comparator=name,
                slope=slope,
                p=float(corrected),
                level=float(level),
                span=(float(grid[0]), float(grid[-1])),
                crossings=crossings,
                baseline_worsens=worsens,
                reason=reason,
                at_budget=bool(not_converged(study, (baseline_rows[name], name))),
            )
        )
    return results


def _tag_levels(examples: pd.DataFrame) -> Iterator[tuple[str, _Levels]]:
    """Yield each numeric tag that has at least two levels."""
    questions = examples["kind"] != "caption"
    for tag, values in numeric_tags(examples[questions]).items():
        spans = difficulty_levels(values)
        if len(spans) < 2:
            continue
        numbers = pd.to_numeric(examples[f"tag_{tag}"], errors="coerce").where(questions).to_numpy(float)
        masks = tuple((numbers >= low) & (numbers <= high) for low, high in spans)
        yield tag, _Levels(masks, np.array([float(numbers[mask].mean()) for mask in masks]))


def _line_key(tag: str, place: int) -> str:
    return f"{tag} {place}"


def _p_of_zero(slopes: Sequence[Contrast]) -> np.ndarray:
    """Return two-sided p values of slope = 0; 1 with too few seeds, or where the variance is unknown, as of cells [slope]."""
    p = np.array([2 * min(float(slope.p_below(0)), float(slope.p_above(0))) for slope in slopes])
    judged = np.isfinite(p) & np.array([min(slope.num_runs) >= MIN_SEEDS for slope in slopes], dtype=bool)
    return np.where(judged, np.minimum(p, 1), 1.0)


def _crossings(grid: np.ndarray, line: Sequence[Contrast], approached: float) -> tuple[Crossing, ...]:
    """Return the crossing of the bound that the line approaches and, before it, of the other bound if the line passes it.

    Args:
        grid: levels [place].
        line: the line at these levels.
        approached: the bound that the line moves towards, −δ or δ.
    """
    value = np.array([float(one.value) for one in line])
    low, high = np.array([[float(end) for end in one.interval()] for one in line]).T
    crossings = []
    for bound in (-approached, approached):
        inside = np.flatnonzero((low <= bound) & (bound <= high))
        at = grid[0] + (bound - value[0]) / (value[-1] - value[0]) * (grid[-1] - grid[0])
        at = -np.inf if at < grid[0] else np.inf if at > grid[-1] else at
        if not np.isfinite(at):
            if bound != approached:
                continue
            if not len(inside):
                crossings.append(Crossing(bound, float(at), float(at), float(at)))
                continue
        ends = grid[inside[[0, -1]]] if len(inside) else (at, at)
        first = -np.inf if low[0] <= bound <= high[0] else min(ends[0], at)
        last = np.inf if low[-1] <= bound <= high[-1] else max(ends[1], at)
        crossings.append(Crossing(bound, float(at), float(first), float(last)))
    return tuple(crossings)
