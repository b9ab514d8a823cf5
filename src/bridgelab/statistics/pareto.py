"""Which bridges are not told to be worse than one that costs no more."""

from collections.abc import Mapping

from bridgelab.statistics.estimate import LEVEL, Estimate


def front(points: Mapping[str, tuple[float, Estimate]]) -> list[str]:
    """The names that no other one beats: none that costs as little or less is told to be better, at 5 % over all such pairs.

    Bonferroni's correction, so that a bridge leaves the front by what the data show and not by a point estimate. Of a study without
    intervals none is told to be better, so all are on it.

    Args:
        points: cost and value by name.
    Returns:
        from the cheapest on.
    """
    pairs = [
        (name, other)
        for name in points
        for other in points
        if name != other and points[other][0] <= points[name][0]
    ]
    level = 1 - (1 - LEVEL) / max(1, len(pairs))
    beaten = {name for name, other in pairs if (points[other][1] - points[name][1]).at(level)[0] > 0}
    return sorted((name for name in points if name not in beaten), key=lambda name: points[name][0])
