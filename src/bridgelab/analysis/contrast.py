r"""The difference between two bridges over a cell of questions, with what it owes to the draw of seeds and of images.

Seeds and images are crossed: every run answers every image. With $V_b$ the variance over the $S_b$ runs of bridge b of their
means, divided by $S_b$, $V_I$ that of the mean difference over images, and $R_b$ what both hold (a run's answer to an image
depends on both), the variance of the difference is

$V = \sum_b \max(0, V_b - R_b) + V_I$

that is, two-way clustering (Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136, eq. 2.11) with the part of seeds kept
from below zero. Where each data seed trained one run of either bridge, runs are paired by it, and there is one $V_b$, of the
differences. Degrees of freedom are Satterthwaite's (1946, doi:10.2307/3002019), with $V_b$ whole:
$\nu = V^2 / (\sum_b V_b^2 / (S_b - 1) + V_I^2 / (I - 1))$. Intervals and tests are Student's t.

Where no answer differs, variances are 0 and would claim certainty: half an answer more on either side (Agresti & Min 2005,
doi:10.1002/sim.1781) gives $V_I$ at least $1 / I^2$.

`make calibrate` tests this on studies whose truth is known; a plain percentile bootstrap over three seeds, and the t test over
the seeds alone, are wrong in some of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Part:
    """What one bridge adds to a contrast. Any number of dimensions may stand in front: of studies, in a simulation.

    Args:
        values: of each run [..., run].
        influence: how much each image adds to that run's value over what its questions would at their mean [..., run, image].
        least: the least variance over images that so many images can show.
        data_seeds: of each run.
    """

    values: np.ndarray
    influence: np.ndarray
    least: float
    data_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Contrast:
    """A difference, and the parts of its variance.

    Args:
        value: [...].
        seeds: $V_b$ of each bridge, or of their differences where runs are paired [..., bridge].
        both: $R_b$, likewise.
        images: $V_I$ [...].
        runs: $S_b$, likewise.
        number: $I$, of images.
    """

    value: np.ndarray
    seeds: np.ndarray
    both: np.ndarray
    images: np.ndarray
    runs: tuple[int, ...]
    number: int

    @property
    def own(self) -> np.ndarray:
        """The variance that seeds alone give [..., bridge]."""
        return np.maximum(self.seeds - self.both, 0)

    @property
    def variance(self) -> np.ndarray:
        """[...]; nan where a bridge has one run, which says nothing of seeds."""
        return self.own.sum(axis=-1) + self.images

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom [...]."""
        of_seeds = (self.seeds**2 / (np.array(self.runs) - 1.0)).sum(axis=-1)
        return self.variance**2 / (of_seeds + self.images**2 / (self.number - 1.0))

    @property
    def error(self) -> np.ndarray:
        """The standard error [...]."""
        return np.sqrt(self.variance)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end [...]."""
        half = stats.t.ppf((1 + level) / 2, self.freedom) * self.error
        return self.value - half, self.value + half

    def p_below(self, bound: float) -> np.ndarray:
        """How likely a value so low is, were the truth at `bound` or above [...]."""
        return stats.t.cdf((self.value - bound) / self.error, self.freedom)

    def p_above(self, bound: float) -> np.ndarray:
        """How likely a value so high is, were the truth at `bound` or below [...]."""
        return stats.t.sf((self.value - bound) / self.error, self.freedom)


def part(
    scores: np.ndarray,
    image: np.ndarray,
    cells: Sequence[tuple[float, np.ndarray]],
    data_seeds: Sequence[int],
) -> Part:
    """One bridge's part of a contrast between weighted cells of questions.

    Args:
        scores: [run, example].
        image: the number of each example's image, from 0 on without gaps [example].
        cells: (weight, which examples as booleans [example]): one of weight 1 for a cell's mean; with a second of weight −1, how
            far the one lies above the other.
        data_seeds: of each run; runs of one data seed are averaged where there are several data seeds.
    Raises:
        ValueError: if a cell has no example or there is one image only.
    """
    images = int(image.max()) + 1
    if images < 2:
        raise ValueError("1 image: a difference over images needs at least 2. Evaluate on more.")
    levels = sorted(set(data_seeds))
    if len(levels) > 1:
        at = np.asarray(data_seeds)
        scores = np.stack([scores[at == level].mean(axis=0) for level in levels])
    values, influence, least = np.zeros(len(scores)), np.zeros((len(scores), images)), 0.0
    for weight, chosen in cells:
        if not chosen.any():
            raise ValueError("a cell of 0 examples has no accuracy. Leave it out.")
        of, mean = scores[:, chosen], scores[:, chosen].mean(axis=1)
        sums = [np.bincount(image[chosen], weights=row, minlength=images) for row in of - mean[:, None]]
        values += weight * mean
        influence += weight * np.stack(sums) / of.shape[1]
        least += weight**2 / len(np.unique(image[chosen])) ** 2
    return Part(values, influence, least, tuple(levels if len(levels) > 1 else data_seeds))


def contrast(first: Part, second: Part) -> Contrast:
    """First − second."""
    paired = len(set(first.data_seeds)) > 1 and first.data_seeds == second.data_seeds
    if paired:
        sides = [(first.values - second.values, first.influence - second.influence)]
    else:
        sides = [(first.values, first.influence), (-second.values, -second.influence)]
    runs, images = tuple(values.shape[-1] for values, _ in sides), first.influence.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):  # one run: 0 / 0, nan, which says so
        seeds = np.stack([_of_mean(values) for values, _ in sides], axis=-1)
        both = np.stack(
            [_of_mean(np.moveaxis(own, -2, -1)).sum(axis=-1) * images / (images - 1) for _, own in sides],
            axis=-1,
        )
    of_images = sum(own.mean(axis=-2) for _, own in sides)
    assert isinstance(of_images, np.ndarray)
    return Contrast(
        sum(values.mean(axis=-1) for values, _ in sides),  # type: ignore[arg-type]
        seeds,
        both,
        np.maximum((of_images**2).sum(axis=-1) * images / (images - 1), max(first.least, second.least)),
        runs,
        images,
    )


def _of_mean(values: np.ndarray) -> np.ndarray:
    """The variance of the mean over the last axis; nan for one value."""
    number = values.shape[-1]
    squares = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return squares / np.float64(number - 1) / number
