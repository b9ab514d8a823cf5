r"""Numbers of a table with their intervals: the same variance over seeds and images as the verdict's (`contrast`).

An `Estimate` keeps what each bridge's runs add to it, so that a difference of two, or a share of one in another, has the variance of
what both owe to the same images. Its interval is Student's t at 95 %, cut off where no value can lie. A single run says nothing of
other seeds: its interval is over images alone, which a table's notes say.

The interval of a share $n / w$, such as the gap closed, is Fieller's (1954, doi:10.1111/j.2517-6161.1954.tb00159.x): all r at which
$n - r w$ is not told from 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import optimize, special

from bridgelab.statistics.contrast import Contrast, Part, part, total

LEVEL = 0.95
LEAST_GAP = (
    0.10  # of what a share is of, such as words − blind: below it one divides by little more than noise
)
FAR = 1e6  # a share beyond which an interval has no end


@dataclass(frozen=True, eq=False)  # a key of `Estimate.parts`, compared by identity
class Runs:
    """The runs of one bridge, by their data seeds: one for all numbers of the bridge, so that they are known to share them."""

    data_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Estimate:
    """A number with its variance over seeds and images.

    Args:
        value: the number.
        parts: what each bridge's runs add to it; empty where only the number is known.
        bounds: the least and the largest value that there can be.
    """

    value: float
    parts: Mapping[Runs, Part]
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @cached_property
    def contrast(self) -> Contrast:
        """Its variance, by where it comes from."""
        return total(list(self.parts.values()), of_any_runs=False)

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %; (nan, nan) where the variance is not known."""
        return self.at(LEVEL)

    def at(self, level: float) -> tuple[float, float]:
        """The interval at another level."""
        if not self.parts:
            return math.nan, math.nan
        low, high = (float(end) for end in self.contrast.interval(level))
        return max(low, self.bounds[0]), min(high, self.bounds[1])

    def __add__(self, other: "Estimate") -> "Estimate":
        known = self.parts and other.parts
        parts = {
            runs: self.parts[runs] + other.parts[runs]
            if runs in self.parts and runs in other.parts
            else self.parts.get(runs) or other.parts[runs]
            for runs in (*self.parts, *(runs for runs in other.parts if runs not in self.parts))
        }
        (low, high), (below, above) = self.bounds, other.bounds
        return Estimate(self.value + other.value, parts if known else {}, (low + below, high + above))

    def __mul__(self, weight: float) -> "Estimate":
        low, high = sorted(weight * bound for bound in self.bounds) if weight else (0.0, 0.0)
        return Estimate(
            weight * self.value, {runs: one * weight for runs, one in self.parts.items()}, (low, high)
        )

    def __sub__(self, other: "Estimate") -> "Estimate":
        return self + other * -1

    def plus(self, constant: float) -> "Estimate":
        """This number and a constant, which moves it and adds no variance."""
        parts = dict(self.parts)
        for runs in list(parts)[:1]:
            parts[runs] = replace(parts[runs], values=parts[runs].values + constant)
        low, high = self.bounds
        return Estimate(self.value + constant, parts, (low + constant, high + constant))

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """A quotient of two numbers of the same runs, its variance to first order (the delta method); `share` has Fieller's."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value, over = float(np.divide(self.value, other.value)), float(np.divide(1, other.value))
        found = ((self - other * value) * over).plus(value)
        return replace(found, bounds=(-math.inf, math.inf))


@dataclass(frozen=True)
class Share:
    """Part / whole, not clipped, with Fieller's interval."""

    part: Estimate
    whole: Estimate

    @property
    def value(self) -> float:
        return self.part.value / self.whole.value

    @cached_property
    def interval(self) -> tuple[float, float]:
        """At 95 %: where part − r whole is not told from 0; (nan, nan) where the variance is not known."""
        if not (self.part.parts and self.whole.parts):
            return math.nan, math.nan
        # Every component of the variance is a quadratic in r, so three contrasts give it everywhere.
        none, more, less = ((self.part + self.whole * weight).contrast for weight in (0, -1, 1))

        def components(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            at_none, at_more, at_less = (np.asarray(getattr(one, name)) for one in (none, more, less))
            return at_none, (at_more - at_less) / 2, (at_more + at_less) / 2 - at_none

        of = [components(name) for name in ("seeds", "both", "images")]

        def beyond(ratio: float) -> float:
            """Above 0 where part − ratio whole is told from 0."""
            value = np.asarray(self.part.value - ratio * self.whole.value)
            seeds, both, images = (np.maximum(a + b * ratio + c * ratio**2, 0) for a, b, c in of)
            found = Contrast(value, seeds, both, images, none.runs, none.number)
            error = float(found.error)
            return abs(float(found.value)) - (
                float(special.stdtrit(found.freedom, (1 + LEVEL) / 2)) * error if error else 0.0
            )

        return self._end(beyond, -1), self._end(beyond, 1)

    def _end(self, beyond: Callable[[float], float], sign: int) -> float:
        """Where the interval ends to one side of the value."""
        inside, step = self.value, 0.01
        if not math.isfinite(beyond(inside)):
            return math.nan
        if beyond(inside) >= 0:  # no variance at all
            return inside
        while beyond(inside + sign * step) <= 0:
            inside, step = inside + sign * step, 2 * step
            if step > FAR:
                return sign * math.inf
        return float(optimize.brentq(beyond, *sorted((inside, inside + sign * step))))


class Sample:
    """Examples, by the clusters of which others might have been drawn.

    Args:
        clusters: of each example [example]: its image, or the group of images that belong together (`predictions.clusters`).
        intervals: whether variances are wanted; else estimates are numbers alone.
    """

    def __init__(self, clusters: Sequence[object] | np.ndarray, *, intervals: bool = True):
        self.clusters = np.unique(np.asarray(clusters), return_inverse=True)[1]
        self.intervals = intervals

    def mean(
        self, scores: np.ndarray, runs: Runs, chosen: np.ndarray | None = None, *, shares: bool = True
    ) -> Estimate:
        """The mean score over runs and examples.

        Args:
            scores: [run, example].
            runs: whose; one for all the numbers of a bridge.
            chosen: the examples to look at [example], as booleans; all if not given.
            shares: whether scores lie in 0 to 1, as accuracies do.
        """
        chosen = np.ones(scores.shape[1], dtype=bool) if chosen is None else chosen
        if not chosen.any():
            return Estimate(math.nan, {})
        bounds = (0.0, 1.0) if shares else (-math.inf, math.inf)
        if not self.intervals:
            levels = np.asarray(runs.data_seeds)
            means = scores[:, chosen].mean(axis=1)
            by_level = [means[levels == level].mean() for level in np.unique(levels)]
            return Estimate(float(np.mean(by_level) if len(by_level) > 1 else means.mean()), {}, bounds)
        found = part(scores, self.clusters, [(1.0, chosen)], runs.data_seeds, shares=shares)
        return Estimate(float(found.values.mean()), {runs: found}, bounds)


def gap_closed(bridge: Estimate, blind: Estimate, words: Estimate) -> Share | None:
    """(bridge − blind) / (words − blind).

    Returns:
        None where words − blind is under 10 points, unknown, or not told from 0: there is no gap to close.
    """
    return share(bridge - blind, words - blind)


def share(part: Estimate, whole: Estimate) -> Share | None:
    """part / whole, not clipped.

    Returns:
        None where the whole is under 10 points, unknown, or not told from 0.
    """
    if not whole.value >= LEAST_GAP or whole.interval[0] <= 0:
        return None
    return Share(part, whole)
