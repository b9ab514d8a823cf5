"""The Pareto front of accuracy and cost, with the uncertainty of accuracy."""

from collections.abc import Mapping

from bridgelab.statistics.estimate import LEVEL, Estimate


def pareto_front(points: Mapping[str, tuple[float, Estimate]]) -> list[str]:
    """Return the names on the front: no other that costs as much or less is shown to be better.

    *Shown to be better* means that the interval of the difference lies above 0 at 95 %, Bonferroni-corrected over all such pairs.
    So a bridge leaves the front by what the data show, not by a point estimate. Without intervals, all names are on the front.

    Args:
        points: (cost, value) by name.
    Returns:
        Names by ascending cost.
    """
    pairs = [
        (name, other)
        for name in points
        for other in points
        if name != other and points[other][0] <= points[name][0]
    ]
    level = 1 - (1 - LEVEL) / max(1, len(pairs))
    dominated = {
        name for name, other in pairs if (points[other][1] - points[name][1]).interval_at(level)[0] > 0
    }
    return sorted((name for name in points if name not in dominated), key=lambda name: points[name][0])
