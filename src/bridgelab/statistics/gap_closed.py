r"""The gap closed, (bridge − blind) / (words − blind), and other ratios of two estimates.

The interval of a ratio n / w is Fieller's (1954, doi:10.1111/j.2517-6161.1954.tb00159.x): all r at which $n - r w$ does not differ
from 0 by a two-sided t test at 5 %, with the variance of `contrast`. Unlike the delta method it is not symmetric, and it may be
unbounded if w is small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, special

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.estimate import LEVEL, Estimate

MIN_GAP = 0.10  # least denominator, such as words − blind: below it one divides by little more than noise
FAR = 1e6  # a ratio beyond which an interval is unbounded
COMPONENTS = ("seed_variance", "intersection_variance", "image_variance")


def gap_closed(bridge: Estimate, blind: Estimate, words: Estimate) -> "Ratio | None":
    """Return (bridge − blind) / (words − blind).

    Returns:
        None if words − blind is below 10 points, unknown, or not shown to differ from 0: there is no gap to close.
    """
    return ratio(bridge - blind, words - blind)


def ratio(numerator: Estimate, denominator: Estimate) -> "Ratio | None":
    """Return numerator / denominator, not clipped.

    Returns:
        None if the denominator is below 10 points, unknown, or not shown to differ from 0.
    """
    if not denominator.value >= MIN_GAP or denominator.interval[0] <= 0:
        return None
    return Ratio(numerator, denominator)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two estimates, not clipped, with Fieller's interval."""

    numerator: Estimate
    denominator: Estimate

    @property
    def value(self) -> float:
        return self.numerator.value / self.denominator.value

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval (Fieller 1954); (nan, nan) if the variance is unknown."""
        if not (self.numerator.contributions and self.denominator.contributions):
            return math.nan, math.nan
        excess = self._excess()
        return self._end(excess, -1), self._end(excess, 1)

    def _excess(self) -> Callable[[float], float]:
        """Return a function of r that is positive where numerator − r denominator differs from 0 at `LEVEL`."""
        # Every component of the variance is quadratic in r, so its values at r = 0, 1 and −1 determine it.
        at_zero, at_plus, at_minus = (
            (self.numerator + self.denominator * weight).contrast for weight in (0, -1, 1)
        )

        def coefficients(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            zero, plus, minus = (np.asarray(getattr(one, name)) for one in (at_zero, at_plus, at_minus))
            return zero, (plus - minus) / 2, (plus + minus) / 2 - zero

        quadratics = [coefficients(name) for name in COMPONENTS]

        def excess(r: float) -> float:
            value = np.asarray(self.numerator.value - r * self.denominator.value)
            seeds, intersection, images = (np.maximum(a + b * r + c * r**2, 0) for a, b, c in quadratics)
            difference = Contrast(value, seeds, intersection, images, at_zero.num_runs, at_zero.num_images)
            error = float(difference.standard_error)
            critical = (
                special.stdtrit(difference.degrees_of_freedom, (1 + LEVEL) / 2) * error if error else 0.0
            )
            return abs(float(difference.value)) - critical

        return excess

    def _end(self, excess: Callable[[float], float], sign: int) -> float:
        """Return the end of the interval on one side of the value."""
        inside, step = self.value, 0.01
        if not math.isfinite(excess(inside)):
            return math.nan
        if excess(inside) >= 0:  # no variance at all
            return inside
        while excess(inside + sign * step) <= 0:
            inside, step = inside + sign * step, 2 * step
            if step > FAR:
                return sign * math.inf
        return float(optimize.brentq(excess, *sorted((inside, inside + sign * step))))
