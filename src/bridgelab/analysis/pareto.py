"""Which bridges are the best that can be had for what they cost."""

from collections.abc import Mapping


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names that no other one beats: none costs as little or less and is as good or better, in one of both strictly.

    Args:
        points: cost and value by name.
    Returns:
        from the cheapest on; of equal points all.
    """

    def beaten(name: str) -> bool:
        cost, value = points[name]
        return any(
            other_cost <= cost and other_value >= value and (other_cost, other_value) != (cost, value)
            for other_cost, other_value in points.values()
        )

    return sorted((name for name in points if not beaten(name)), key=lambda name: points[name])
