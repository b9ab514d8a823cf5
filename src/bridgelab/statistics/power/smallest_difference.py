r"""The smallest difference that a study would call *breaks* or *leads* with 80 % power.

A cell with true difference d is found if $\hat d - \delta > t_{\hat\nu} \sqrt{\hat V}$. The variance and its degrees of freedom are
estimates, and poor ones with few seeds: a noncentral t, which takes the degrees of freedom as known, promised 80 % where three
seeds found 66 to 73 %. So both are drawn (`draw_estimated_variances`), and the power is the mean over draws of
$\Phi((d - \delta - t_{\hat\nu} \sqrt{\hat V}) / \sqrt V)$, which is solved for d by bisection. It assumes normal means.

V itself is known from a pilot alone. The range that a plan prints holds 80 % of the smallest differences that variances drawn from
their posterior given the pilot lead to (`draw_true_variances`).
"""

import math

import numpy as np
from scipy import special

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.multiple_testing import ALPHA
from bridgelab.statistics.power.variances import at_size, draw_estimated_variances, draw_true_variances

POWER = 0.8
DRAWS = 4000  # of estimated variances: the resulting power is off by 0.3 points
POSTERIOR_DRAWS = 60  # of true variances behind a pilot's
FEWER_DRAWS = 500  # of estimated variances, for each posterior draw
RANGE = 0.8  # share of the posterior draws that the printed range holds
HALVINGS = 40


def smallest_difference(truth: Contrast, delta: float, cells: int, *, draws: int = DRAWS) -> np.ndarray:
    """Return the smallest true difference, in either direction, that would be found with 80 % power [...].

    Args:
        truth: a cell, of which only the variances are used; `at_size` gives them for other numbers of seeds and images.
        delta: the least difference that matters, in (0, 1).
        cells: number of cells tested together. Each is tested at the level of Holm's first step, the strictest.
        draws: number of estimated variances to draw.
    Returns:
        Differences of accuracies; nan where the variance is unknown.
    """
    error = np.asarray(truth.standard_error)
    drawn = draw_estimated_variances(truth, draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = (
            special.stdtrit(drawn.degrees_of_freedom, 1 - ALPHA / 2 / cells) * drawn.standard_error / error
        )
    low, high = np.zeros(error.shape), np.max(critical, axis=0) + 10
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = special.ndtr(middle - critical).mean(axis=0) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(np.isfinite(error), delta + error * high, math.nan)


def power(truth: Contrast, difference: float, delta: float, cells: int) -> float:
    """Return the chance that a true difference is found; arguments as in `smallest_difference`."""
    drawn, error = draw_estimated_variances(truth, DRAWS), float(truth.standard_error)
    critical = special.stdtrit(drawn.degrees_of_freedom, 1 - ALPHA / 2 / cells) * drawn.standard_error
    return float(special.ndtr((difference - delta - critical) / error).mean())


def smallest_difference_range(
    pilot: Contrast, delta: float, cells: int, *, seeds: int, image_factor: float = 1
) -> tuple[float, float]:
    """Return the range that holds the smallest difference in 80 % of the posterior, given a pilot's variances.

    Args:
        pilot: a cell of a study that was run.
        delta: the least difference that matters, in (0, 1).
        cells: number of cells tested together.
        seeds: planned number of seeds of each bridge.
        image_factor: planned number of images as a multiple of the pilot's.
    """
    truths = at_size(draw_true_variances(pilot, POSTERIOR_DRAWS), seeds, image_factor)
    smallest = smallest_difference(truths, delta, cells, draws=FEWER_DRAWS)
    low, high = np.quantile(smallest, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    return float(low), float(high)
