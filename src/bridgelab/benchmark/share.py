"""A seeded share of a benchmark's images or sentences, held out where none was published."""

import random
from collections.abc import Iterable


def check_share(share: float, name: str) -> float:
    """Return the share if it lies between 0 and 1.

    Raises:
        ValueError: if not.
    """
    if not 0 < share < 1:
        raise ValueError(f"{name}={share}: must lie between 0 and 1. Set benchmark.{name} to, say, 0.1.")
    return share


def draw_share(names: Iterable[str], share: float, seed: int) -> set[str]:
    """This share of the names, at least one; the same whatever their order."""
    ordered = sorted(set(names))
    random.Random(seed).shuffle(ordered)
    return set(ordered[: max(1, round(share * len(ordered)))])
