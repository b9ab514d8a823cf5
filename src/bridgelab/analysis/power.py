r"""The smallest difference that a study would call *breaks* or *leads*, with 80 % power.

A cell at difference d beyond the bound δ is found where $(\hat d - \delta) / \sqrt V$ passes the critical t value; the statistic is
then noncentral t (Johnson, Kotz & Balakrishnan 1995, ch. 31) with noncentrality $(d - \delta) / \sqrt V$, which is solved for.
"""

import math

from scipy import optimize, stats

from bridgelab.analysis.contrast import Contrast
from bridgelab.analysis.verdict import ALPHA

POWER = 0.8


def smallest(found: Contrast, delta: float, cells: int) -> float:
    """The smallest true difference, either way, that would be found.

    Args:
        found: a cell, for its variances; `verdict.planned` gives them at other numbers of seeds and images.
        delta: the least difference that matters.
        cells: tested together; each at the level that Holm's first step gives, which is the strictest.
    Returns:
        nan where the variance is not known.
    """
    error, freedom = float(found.error), float(found.freedom)
    if not math.isfinite(error):
        return math.nan
    critical = stats.t.ppf(1 - ALPHA / 2 / cells, freedom)

    def short(beyond: float) -> float:
        return float(stats.nct.sf(critical, freedom, beyond)) - POWER

    return delta + error * float(optimize.brentq(short, 0, 50 * critical))
