r"""The smallest difference that a study would call *breaks* or *leads*, with 80 % power, and what more seeds would find.

A cell at difference d is found where $\hat d - \delta$ passes $t_{\hat\nu} \sqrt{\hat V}$. The variance and its degrees of freedom
are estimates, and with few seeds poor ones: a noncentral t, which takes the degrees of freedom as known, promised 80 % where three
seeds found 66 to 73 %. So both are drawn (`contrast.redrawn`), and the power, which is solved for d, is the mean over draws of
$\Phi((d - \delta - t_{\hat\nu} \sqrt{\hat V}) / \sqrt V)$.

V itself is known from a pilot alone. Turned round, what the truth may be given a pilot is $V_b (S - 1) / \chi^2_{S-1}$, and likewise of
images: 80 % of the smallest differences that so drawn variances give lie in the range that a plan prints.
"""

import math

import numpy as np
from scipy import special

from bridgelab.statistics.contrast import Contrast, meant, redrawn
from bridgelab.statistics.verdict import ALPHA, POWER, planned

DRAWS = 4000  # the power that they give is off by 0.3 points
PILOTS, FEWER = 60, 500  # variances that a pilot's may stand for, and draws for each of them
RANGE = 0.8  # of such variances
HALVINGS = 40


def smallest(found: Contrast, delta: float, cells: int, *, draws: int = DRAWS) -> np.ndarray:
    """The smallest true difference, either way, that would be found [...].

    Args:
        found: a cell, for its variances; `verdict.planned` gives them at other numbers of seeds and images.
        delta: the least difference that matters.
        cells: tested together; each at the level that Holm's first step gives, which is the strictest.
        draws: of the variances that another study would find.
    Returns:
        nan where the variance is not known.
    """
    error = np.asarray(found.error)
    seen = redrawn(found, draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = special.stdtrit(seen.freedom, 1 - ALPHA / 2 / cells) * seen.error / error
    low, high = np.zeros(error.shape), np.max(needed, axis=0) + 10
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = special.ndtr(middle - needed).mean(axis=0) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(np.isfinite(error), delta + error * high, math.nan)


def power(found: Contrast, difference: float, delta: float, cells: int) -> float:
    """How likely a true difference is to be found; the arguments as `smallest` takes them."""
    seen, error = redrawn(found, DRAWS), float(found.error)
    needed = special.stdtrit(seen.freedom, 1 - ALPHA / 2 / cells) * seen.error
    return float(special.ndtr((difference - delta - needed) / error).mean())


def smallest_range(
    pilot: Contrast, delta: float, cells: int, *, seeds: int, images: float = 1
) -> tuple[float, float]:
    """Between what the smallest difference lies in 80 % of the cases in which a pilot finds such variances.

    Args:
        pilot: a cell of a study that was run.
        seeds: planned, of each bridge.
        images: planned, times as many as the pilot had.
    """
    found = smallest(planned(meant(pilot, PILOTS), seeds, images), delta, cells, draws=FEWER)
    low, high = np.quantile(found, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    return float(low), float(high)
