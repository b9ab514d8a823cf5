r"""Estimates with intervals: means of scores with the same variance over seeds and images as the verdict's (`contrast`).

An `Estimate` keeps what each bridge's runs contribute to it, so a difference or ratio of two estimates accounts for the runs and
images that they share. Its interval is Student's t at 95 %, clipped to the values that are possible. A single run says nothing
about other seeds: its interval is over images alone, which a table's notes say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bridgelab.statistics.contrast import Contrast, Contribution, contribution, sum_contributions

LEVEL = 0.95


@dataclass(frozen=True, eq=False)  # a key of `Estimate.contributions`, compared by identity
class Runs:
    """The runs of one bridge, by their data seeds. Use one object for all numbers of a bridge, to mark that they share runs."""

    data_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Estimate:
    """A number with its variance over seeds and images.

    Args:
        value: the number.
        contributions: what each bridge's runs contribute; empty if only the number is known.
        bounds: the least and the greatest possible value.
    """

    value: float
    contributions: Mapping[Runs, Contribution]
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @cached_property
    def contrast(self) -> Contrast:
        """The number with the components of its variance."""
        return sum_contributions(list(self.contributions.values()), over_seeds=False)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval; (nan, nan) if the variance is unknown."""
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> tuple[float, float]:
        """Return the interval at a level; (nan, nan) if the variance is unknown."""
        if not self.contributions:
            return math.nan, math.nan
        low, high = (float(end) for end in self.contrast.interval(level))
        return max(low, self.bounds[0]), min(high, self.bounds[1])

    def __add__(self, other: "Estimate") -> "Estimate":
        contributions = dict(self.contributions)
        for runs, theirs in other.contributions.items():
            contributions[runs] = contributions[runs] + theirs if runs in contributions else theirs
        known = self.contributions and other.contributions
        bounds = (self.bounds[0] + other.bounds[0], self.bounds[1] + other.bounds[1])
        return Estimate(self.value + other.value, contributions if known else {}, bounds)

    def __mul__(self, weight: float) -> "Estimate":
        low, high = sorted(weight * bound for bound in self.bounds) if weight else (0.0, 0.0)
        contributions = {runs: one * weight for runs, one in self.contributions.items()}
        return Estimate(weight * self.value, contributions, (low, high))

    def __sub__(self, other: "Estimate") -> "Estimate":
        return self + other * -1

    def plus_constant(self, constant: float) -> "Estimate":
        """Return the sum with a constant, which adds no variance."""
        contributions = dict(self.contributions)
        for runs in list(contributions)[:1]:
            contributions[runs] = replace(contributions[runs], values=contributions[runs].values + constant)
        low, high = self.bounds
        return Estimate(self.value + constant, contributions, (low + constant, high + constant))

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """Return the quotient with its variance to first order (delta method); `gap_closed.Ratio` has Fieller's interval."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value, inverse = float(np.divide(self.value, other.value)), float(np.divide(1, other.value))
        quotient = ((self - other * value) * inverse).plus_constant(value)
        return replace(quotient, bounds=(-math.inf, math.inf))


class Sample:
    """Examples of a benchmark, as a sample of clusters of which others might have been drawn.

    Args:
        clusters: cluster of each example [example]: its image, or the group of images that belong together (`predictions.clusters`).
        intervals: whether to compute variances; if False, estimates are numbers alone.
    """

    def __init__(self, clusters: Sequence[object] | np.ndarray, *, intervals: bool = True):
        self.clusters = np.unique(np.asarray(clusters), return_inverse=True)[1]
        self.intervals = intervals

    def mean(
        self, scores: np.ndarray, runs: Runs, mask: np.ndarray | None = None, *, within_unit: bool = True
    ) -> Estimate:
        """Return the mean score over runs and examples, with the variance of `contrast` over seeds and clusters.

        Runs of one data seed are averaged first if there are several data seeds.

        Args:
            scores: [run, example].
            runs: the runs that the scores are of; one object for all numbers of a bridge.
            mask: examples to average over, bool [example]; all by default.
            within_unit: whether scores lie in [0, 1], as accuracies do.
        Returns:
            nan without an interval if the mask selects nothing.
        """
        mask = np.ones(scores.shape[1], dtype=bool) if mask is None else mask
        if not mask.any():
            return Estimate(math.nan, {})
        bounds = (0.0, 1.0) if within_unit else (-math.inf, math.inf)
        if not self.intervals:
            levels = np.asarray(runs.data_seeds)
            means = scores[:, mask].mean(axis=1)
            by_level = [means[levels == level].mean() for level in np.unique(levels)]
            return Estimate(float(np.mean(by_level) if len(by_level) > 1 else means.mean()), {}, bounds)
        own = contribution(scores, self.clusters, [(1.0, mask)], runs.data_seeds, within_unit=within_unit)
        return Estimate(float(own.values.mean()), {runs: own}, bounds)
