"""How many seeds or images would settle a cell that the data cannot tell.

A cell is settled if its verdict is *breaks*, *leads* or *holds*. The chance of that is computed at Bonferroni's level, the first and
strictest step of Holm's correction, with variances drawn as another study would estimate them. It assumes that the pilot's
difference and variances are the true ones.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.multiple_testing import ALPHA
from bridgelab.statistics.power.smallest_difference import POWER
from bridgelab.statistics.power.variances import at_size, draw_estimated_variances

MAX_SEEDS = 20  # the most seeds that a user is advised to run
IMAGE_FACTORS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)
DRAWS = 500  # of variances: the resulting power is off by about a point


def chance_of_settling(truth: Contrast, delta: float, cells: int) -> float:
    """Return the chance that a study settles a cell whose true difference and variances are these.

    Args:
        truth: one cell.
        delta: the least difference that matters, in (0, 1).
        cells: number of cells of the study, for the correction.
    """
    drawn = draw_estimated_variances(truth, DRAWS)
    value, error = float(truth.value), float(truth.standard_error)
    df, drawn_error = drawn.degrees_of_freedom, drawn.standard_error
    beyond = delta + special.stdtrit(df, 1 - ALPHA / 2 / cells) * drawn_error
    within = delta - special.stdtrit(df, 1 - ALPHA) * drawn_error
    outside = special.ndtr((-beyond - value) / error) + special.ndtr((value - beyond) / error)
    inside = special.ndtr((within - value) / error) - special.ndtr((-within - value) / error)
    return float((outside + np.maximum(inside, 0)).mean())


@dataclass(frozen=True)
class SampleSize:
    """A size at which a cell is settled in 80 % of studies.

    Args:
        seeds: number of seeds of each bridge; None if both have as many and these are enough.
        image_factor: number of images as a multiple of the pilot's; None if the pilot's are enough.
    """

    seeds: int | None
    image_factor: int | None


def required_sample_size(pilot: Contrast, delta: float, cells: int) -> SampleSize | None:
    """Return the size that settles a cell in 80 % of studies: more seeds, else more images, else both.

    The bridge with fewer seeds is brought up to the other first.

    Args:
        pilot: one cell, whose value and variances are taken as the true ones.
        delta: the least difference that matters, in (0, 1).
        cells: number of cells of the study, for the correction.
    Returns:
        None if `MAX_SEEDS` seeds and the largest of `IMAGE_FACTORS` do not suffice.
    """

    def suffices(seeds: int, image_factor: float) -> bool:
        return chance_of_settling(at_size(pilot, seeds, image_factor), delta, cells) >= POWER

    def smallest(numbers: Sequence[int], enough: Callable[[int], bool]) -> int | None:
        """Return the first number that is enough; more seeds or images find what fewer find."""
        place = bisect_left(numbers, True, key=enough)
        return numbers[place] if place < len(numbers) else None

    now = max(pilot.num_runs)
    alike = min(pilot.num_runs) == now
    if seeds := smallest(range(now + alike, MAX_SEEDS + 1), lambda number: suffices(number, 1)):
        return SampleSize(seeds, None)
    if factor := smallest(IMAGE_FACTORS, lambda number: suffices(now, number)):
        return SampleSize(None if alike else now, factor)
    if factor := smallest(IMAGE_FACTORS, lambda number: suffices(MAX_SEEDS, number)):
        return SampleSize(MAX_SEEDS, factor)
    return None


def describe_sample_size(size: SampleSize | None, counted: str = "seeds") -> str:
    """Return the advice that a table prints beside a cell that cannot be told.

    Args:
        size: as `required_sample_size` returns it.
        counted: what its seeds are called; orders of examples where runs of one order are averaged.
    """
    if size is None:
        return f"{MAX_SEEDS} {counted} and {IMAGE_FACTORS[-1]} times the images would not settle it"
    if size.image_factor is None:
        return f"{size.seeds} {counted} would settle it"
    seeds = f"{size.seeds} {counted} and " if size.seeds else ""
    return f"{seeds}{size.image_factor} times the images would settle it"
