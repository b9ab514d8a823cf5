"""When a curve has converged: the one rule, for a run's record and for all that is said of a study."""

from collections.abc import Sequence

FLAT_GAIN = 0.01
LAST_PART = 0.2


def late_gain(curve: Sequence[Sequence[float]]) -> float:
    """What validation accuracy gained over the last fifth of training.

    Measured from the last point before that fifth begins, so never over less than a fifth.

    Args:
        curve: (step, accuracy) pairs.
    Returns:
        The gain (0.01 is one point); nan if the curve has no point before the last fifth.
    """
    points = sorted(curve, key=lambda point: point[0])
    before = [accuracy for step, accuracy in points if step <= (1 - LAST_PART) * points[-1][0]]
    return float(points[-1][1] - before[-1]) if before and len(points) > 1 else float("nan")


def is_flat(gain: float) -> bool:
    """Whether a curve with this late gain has converged: less than 1 point. An unknown gain is not flat."""
    return bool(gain < FLAT_GAIN - 1e-9)  # a gain of exactly a point must not depend on rounding
