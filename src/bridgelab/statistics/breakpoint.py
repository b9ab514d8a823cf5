r"""Where the baseline breaks as questions get harder: how its difference to another bridge changes, and where it passes δ.

With $d(x)$ the difference baseline − comparator over questions at level x of a tag (objects, hops, …), a line is fitted over the
levels, weighted by their questions: $d(x) \approx \bar d + b (x - \bar x)$. Its slope b is the interaction of bridge and
difficulty. Both b and the line at any x are weighted sums of cells, so their variances over seeds and images are those of
`contrast`. The line passes a bound, −δ or δ, at x*, whose 95 % interval is the set of levels at which the line's own interval holds
the bound (Fieller 1954, doi:10.1111/j.2517-6161.1954.tb00159.x). Levels beyond those that were asked about are not looked at: an end
of the interval that lies there is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bridgelab.runs.study import Study
from bridgelab.statistics.comparison import contrasts, pairs
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.difficulty_levels import counted_tags, levels
from bridgelab.statistics.verdict import ALPHA, LEAST_SEEDS, adjusted_levels, holm

FINE = 101  # places along a tag at which the line is looked at
Cells = list[tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Crossing:
    """Where a line passes a bound.

    Args:
        bound: −δ or δ.
        at: the level; ∓∞ where it lies before the lowest or beyond the highest.
        low: the lower end of its 95 % interval; −∞ where that lies before the lowest level.
        high: the upper end; ∞ where that lies beyond the highest.
    """

    bound: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Breakpoint:
    """One comparator and one tag.

    Args:
        tag: its name.
        comparator: the bridge that the baseline is set against.
        slope: of the difference, a step of the tag.
        p: that the slope is 0, corrected over all comparators and tags of the study (Holm).
        level: of the slope's interval that leaves out 0 if and only if the slope is told from 0.
        span: the lowest and the highest level.
        passes: where the line passes the bound that it goes towards, and before that the other one, if it does so within the span;
            None where the slope is not told from 0.
        below: whether it is the baseline that gets worse.
        why: why nothing is claimed, where that is so.
        at_budget: whether it holds at this budget alone, since one of the two is not shown to have converged.
    """

    tag: str
    comparator: str
    slope: Contrast
    p: float
    level: float
    span: tuple[float, float]
    passes: tuple[Crossing, ...] | None
    below: bool
    why: str
    at_budget: bool


def breakpoints(study: Study) -> list[Breakpoint]:
    """All comparators and tags of a study; empty where it has no baseline or no tag that counts something."""
    baseline, delta, _ = declaration(study)
    table = study.examples
    beside = pairs(study, baseline)
    if not beside or len(set(study.clusters)) < 2:
        return []
    asked = table["kind"] != "caption"
    chosen: dict[str, Cells] = {}
    places: dict[str, np.ndarray] = {}
    for tag, values in counted_tags(table[asked]).items():
        spans = levels(values)
        if len(spans) < 2:
            continue
        full = pd.to_numeric(table[f"tag_{tag}"], errors="coerce").where(asked).to_numpy(dtype=float)
        masks = [(full >= low) & (full <= high) for low, high in spans]
        centres = [float(full[mask].mean()) for mask in masks]
        places[tag] = np.linspace(centres[0], centres[-1], FINE)
        chosen[tag] = _slope(masks, centres)
        chosen |= {f"{tag} {k}": _line(masks, centres, x) for k, x in enumerate(places[tag])}
    found = contrasts(study, baseline, chosen)
    keys = [key for key in found if key[1] in places]
    p = np.array([2 * min(float(found[key].p_below(0)), float(found[key].p_above(0))) for key in keys])
    p = np.where(np.isfinite(p), np.minimum(p, 1), 1.0)
    corrected, at = (holm(p), adjusted_levels(p)) if len(p) else (p, p)
    made = []
    for key, value, level in zip(keys, corrected, at, strict=True):
        name, tag = key
        few = min(found[key].runs)
        why = f"{few} of at least {LEAST_SEEDS} seeds" if few < LEAST_SEEDS else ""
        at_budget = bool(not_converged(study, (beside[name], name)))
        below = bool(found[key].value < 0)
        line = [found[name, f"{tag} {k}"] for k in range(FINE)]
        passes = _passes(places[tag], line, -delta if below else delta) if value < ALPHA and not why else None
        span = (float(places[tag][0]), float(places[tag][-1]))
        made.append(
            Breakpoint(tag, name, found[key], float(value), float(level), span, passes, below, why, at_budget)
        )
    return made


def _weights(masks: Sequence[np.ndarray], centres: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Each level's share of the questions, and of the slope."""
    counts, x = np.array([mask.sum() for mask in masks], dtype=float), np.array(centres)
    away = x - np.average(x, weights=counts)
    return counts / counts.sum(), counts * away / (counts * away**2).sum()


def _slope(masks: Sequence[np.ndarray], centres: Sequence[float]) -> Cells:
    return list(zip(_weights(masks, centres)[1].tolist(), masks, strict=True))


def _line(masks: Sequence[np.ndarray], centres: Sequence[float], place: float) -> Cells:
    share, slope = _weights(masks, centres)
    at = place - float(share @ np.array(centres))
    return list(zip((share + at * slope).tolist(), masks, strict=True))


def _passes(places: np.ndarray, line: Sequence[Contrast], towards: float) -> tuple[Crossing, ...]:
    """The crossing of the bound that the line goes towards, and before it of the other one, where it comes from beyond that."""
    value = np.array([float(one.value) for one in line])
    low, high = np.array([[float(end) for end in one.interval()] for one in line]).T
    found = []
    for bound in (-towards, towards):
        held = np.flatnonzero((low <= bound) & (bound <= high))
        at = places[0] + (bound - value[0]) / (value[-1] - value[0]) * (places[-1] - places[0])
        at = -np.inf if at < places[0] else np.inf if at > places[-1] else at
        if not np.isfinite(at):
            if bound != towards:
                continue
            if not len(held):
                found.append(Crossing(bound, float(at), float(at), float(at)))
                continue
        ends = places[held[[0, -1]]] if len(held) else (at, at)
        first = -np.inf if low[0] <= bound <= high[0] else min(ends[0], at)
        last = np.inf if low[-1] <= bound <= high[-1] else max(ends[1], at)
        found.append(Crossing(bound, float(at), float(first), float(last)))
    return tuple(found)
