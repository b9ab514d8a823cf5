r"""The difference between two bridges over a cell of questions, with what it owes to the draw of seeds and of images.

Seeds and images are crossed: every run answers every image. With $V_b$ the variance over the $S_b$ runs of bridge b of their
means, divided by $S_b$, $V_I$ that of the mean difference over images, and $R_b$ what both hold (a run's answer to an image
depends on both), the variance of the difference is

$V = \sum_b \max(0, V_b - R_b) + V_I$

that is, two-way clustering (Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136, eq. 2.11) with the part of seeds kept
from below zero. Where each data seed trained one run of either bridge, runs are paired by it, and there is one $V_b$, of the
differences. Degrees of freedom are Satterthwaite's (1946, doi:10.2307/3002019), with $V_b$ whole:
$\nu = V^2 / (\sum_b V_b^2 / (S_b - 1) + V_I^2 / (I - 1))$. Intervals and tests are Student's t.

The images are those that the cell asks about: the study's others say nothing of it. Where several pictures belong together, a
group of them stands for an image (`predictions.clusters`). $I$ is Kish's effective number, $n^2 / \sum_i m_i^2$ of n questions, $m_i$ on
image i, which is the number of images where all have as many; cells of a sum count by their weights.

Where no answer differs, variances are 0 and would claim certainty: half an answer more on either side (Agresti & Min 2005,
doi:10.1002/sim.1781) gives $V_I$ at least $1 / I^2$.

`make calibrate` tests this on studies whose truth is known; a plain percentile bootstrap over three seeds, and the t test over
the seeds alone, are wrong in some of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats


@dataclass(frozen=True)
class Part:
    r"""What one bridge adds to a contrast. Any number of dimensions may stand in front: of studies, in a simulation.

    Args:
        values: of each run [..., run].
        influence: how much each image adds to that run's value over what its questions would at their mean, times
            $\sqrt{I / (I - 1)}$, so that the sum of squares is the variance over images [..., run, image].
        images: the number of each of these images, ascending [image]: those that the cell asks about, and no others.
        number: $I$ of the degrees of freedom: of cells that differ in weight or in questions an image, Kish's effective number.
        least: the least variance over images that so many images can show.
        data_seeds: of each run.
    """

    values: np.ndarray
    influence: np.ndarray
    images: np.ndarray
    number: float
    least: float
    data_seeds: tuple[int, ...]

    def __add__(self, other: "Part") -> "Part":
        """The sum of two numbers of the same runs."""
        images = union([self, other])
        return Part(
            self.values + other.values,
            self.over(images) + other.over(images),
            images,
            min(self.number, other.number),
            max(self.least, other.least),
            self.data_seeds,
        )

    def __mul__(self, weight: float) -> "Part":
        least = weight**2 * self.least
        return Part(
            weight * self.values, weight * self.influence, self.images, self.number, least, self.data_seeds
        )

    def over(self, images: np.ndarray) -> np.ndarray:
        """The influence of each of these images, 0 of those that are not the cell's own [..., run, image]."""
        if images is self.images or np.array_equal(images, self.images):
            return self.influence
        spread = np.zeros((*self.influence.shape[:-1], len(images)))
        spread[..., np.searchsorted(images, self.images)] = self.influence
        return spread


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
    number: float

    @property
    def own(self) -> np.ndarray:
        """The variance that seeds alone give [..., bridge]."""
        return np.maximum(self.seeds - self.both, 0)

    @property
    def variance(self) -> np.ndarray:
        """[...]; nan where a bridge has one run, which says nothing of seeds, or the cell one image."""
        return self.own.sum(axis=-1) + self.images

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom [...]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            of_seeds = (self.seeds**2 / (np.array(self.runs) - 1.0)).sum(axis=-1)
            return self.variance**2 / (of_seeds + self.images**2 / (self.number - 1.0))

    @property
    def error(self) -> np.ndarray:
        """The standard error [...]."""
        return np.sqrt(self.variance)

    def interval(self, level: float | np.ndarray = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end [...]."""
        # Without any variance there are no degrees of freedom either, and the value is all there is.
        half = np.where(self.error == 0, 0.0, special.stdtrit(self.freedom, (1 + level) / 2) * self.error)
        return self.value - half, self.value + half

    def p_below(self, bound: float) -> np.ndarray:
        """How likely a value so low is, were the truth at `bound` or above [...]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.cdf((self.value - bound) / self.error, self.freedom)

    def p_above(self, bound: float) -> np.ndarray:
        """How likely a value so high is, were the truth at `bound` or below [...]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.sf((self.value - bound) / self.error, self.freedom)


def part(
    scores: np.ndarray,
    image: np.ndarray,
    cells: Sequence[tuple[float, np.ndarray]],
    data_seeds: Sequence[int],
    *,
    shares: bool = True,
) -> Part:
    """One bridge's part of a contrast between weighted cells of questions.

    Args:
        scores: [run, example].
        image: the number of each example's image, or of the group of images that belong together [example].
        cells: (weight, which examples as booleans [example]): one of weight 1 for a cell's mean; with a second of weight −1, how
            far the one lies above the other.
        data_seeds: of each run; runs of one data seed are averaged where there are several data seeds.
        shares: whether scores lie in 0 to 1, for which so many images have a least variance.
    Raises:
        ValueError: if a cell has no example.
    """
    levels = sorted(set(data_seeds))
    if len(levels) > 1:
        at = np.asarray(data_seeds)
        scores = np.stack([scores[at == level].mean(axis=0) for level in levels])
    asked = np.any([chosen for _, chosen in cells], axis=0)
    images, place = np.unique(image[asked], return_inverse=True)
    values, influence = np.zeros(len(scores)), np.zeros((len(scores), len(images)))
    weighed, least = np.zeros(len(images)), 0.0
    for weight, chosen in cells:
        if not chosen.any():
            raise ValueError("a cell of 0 examples has no accuracy. Leave it out.")
        of, at = scores[:, chosen], place[chosen[asked]]
        mean, held = of.mean(axis=1), np.bincount(at, minlength=len(images))
        own = np.count_nonzero(held)
        sums = np.stack([np.bincount(at, weights=row, minlength=len(images)) for row in of - mean[:, None]])
        values += weight * mean
        # Of one image alone nothing is known of others: nan, which says so.
        influence += weight * sums / of.shape[1] * (math.sqrt(own / (own - 1)) if own > 1 else math.nan)
        weighed += weight**2 * held / of.shape[1] ** 2
        least += weight**2 / own**2 if shares else 0.0
    number = weighed.sum() ** 2 / (weighed**2).sum() if weighed.any() else float(len(images))
    return Part(
        values, influence, images, float(number), least, tuple(levels if len(levels) > 1 else data_seeds)
    )


def pooled(runs: Sequence[Part], data_seeds: Sequence[int]) -> Part:
    """Parts of one run each as that of all, in their order; runs of one data seed are averaged where there are several data seeds."""
    images = union(runs)
    values, influence = (
        np.concatenate([one.values for one in runs]),
        np.concatenate([one.over(images) for one in runs]),
    )
    levels = sorted(set(data_seeds))
    if len(levels) > 1:
        at = np.asarray(data_seeds)
        values, influence = (
            np.stack([of[at == level].mean(axis=0) for level in levels]) for of in (values, influence)
        )
    return Part(
        values,
        influence,
        images,
        min(one.number for one in runs),
        max(one.least for one in runs),
        tuple(levels if len(levels) > 1 else data_seeds),
    )


def contrast(first: Part, second: Part) -> Contrast:
    """First − second."""
    return total([first, second * -1])


def total(parts: Sequence[Part], *, of_any_runs: bool = True) -> Contrast:
    """The sum of parts, each of runs of its own; those of the same data seeds are paired.

    Args:
        of_any_runs: whether it is to speak of runs with other seeds, of which a single run says nothing; else a single run is taken
            for all there is.
    """
    sides: dict[object, Part] = {}
    for place, one in enumerate(parts):
        key = one.data_seeds if len(set(one.data_seeds)) > 1 else place
        sides[key] = sides[key] + one if key in sides else one
    images = union(parts)
    known = [one for one in sides.values() if of_any_runs or one.values.shape[-1] > 1]
    value = sum(one.values.mean(axis=-1) for one in parts)
    of_images = sum(one.over(images).mean(axis=-2) for one in sides.values())
    assert isinstance(value, np.ndarray | np.floating)
    assert isinstance(of_images, np.ndarray)
    none = np.zeros((*value.shape, 0))
    with np.errstate(invalid="ignore", divide="ignore"):  # one run: 0 / 0, nan, which says so
        seeds = [_of_mean(one.values) for one in known]
        both = [_of_mean(np.moveaxis(one.influence, -2, -1)).sum(axis=-1) for one in known]
    return Contrast(
        np.asarray(value),
        np.stack(seeds, axis=-1) if known else none,
        np.stack(both, axis=-1) if known else none,
        np.maximum((of_images**2).sum(axis=-1), max(one.least for one in parts)),
        tuple(one.values.shape[-1] for one in known),
        min(one.number for one in parts),
    )


def redrawn(found: Contrast, number: int) -> Contrast:
    r"""The variances that other studies would find, were these the true ones: $V \chi^2_\nu / \nu$, the same ones each time [draw, ...]."""
    return _drawn(found, number, lambda drawn: drawn)


def meant(found: Contrast, number: int) -> Contrast:
    r"""The true variances that these may have been found for: $V \nu / \chi^2_\nu$, likewise [draw, ...]."""
    return _drawn(found, number, np.reciprocal)


def _drawn(found: Contrast, number: int, of: Callable[[np.ndarray], np.ndarray]) -> Contrast:
    rng = np.random.default_rng(0)
    of_seeds, of_images = np.maximum(np.array(found.runs) - 1.0, 1), max(found.number - 1, 1)
    return Contrast(
        found.value,
        found.seeds * of(rng.chisquare(of_seeds, size=(number, *found.seeds.shape)) / of_seeds),
        found.both,
        found.images * of(rng.chisquare(of_images, size=(number, *found.images.shape)) / of_images),
        found.runs,
        found.number,
    )


def union(parts: Sequence[Part]) -> np.ndarray:
    """The images of some parts, ascending."""
    first, *others = [one.images for one in parts]
    if all(one is first or np.array_equal(one, first) for one in others):
        return first
    return np.unique(np.concatenate([first, *others]))


def _of_mean(values: np.ndarray) -> np.ndarray:
    """The variance of the mean over the last axis; nan for one value."""
    number = values.shape[-1]
    squares = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return squares / np.float64(number - 1) / number
