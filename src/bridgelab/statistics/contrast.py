r"""The difference between two bridges over a cell of questions, with its variance over seeds and images.

Seeds and images are crossed: every run answers every image. Let $V_b$ be the variance over the $S_b$ runs of bridge b of their
means, divided by $S_b$; $V_I$ the variance of the mean difference over images; and $R_b$ the part that both $V_b$ and $V_I$
contain, since a run's answer to an image depends on both. The variance of the difference is

$V = \sum_b \max(0, V_b - R_b) + V_I$

This is two-way clustering (Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136, eq. 2.11) with the part of seeds clipped
at zero. Degrees of freedom are Satterthwaite's (1946, doi:10.2307/3002019), with the whole of $V_b$:
$\nu = V^2 / (\sum_b V_b^2 / (S_b - 1) + V_I^2 / (I - 1))$. Intervals and tests use Student's t.

Runs of two bridges count as independent, also where they saw the examples in the same order. A variance of paired differences
would have $S - 1$ degrees of freedom in place of about $2 (S - 1)$, and with three seeds it is now and then so small by chance
that up to 10 % of studies with 20 cells break falsely (`calibration.error_rates.paired_by_seed`). If the order moves both bridges alike,
the variance here is too large, which is safe; if it helps one and harms the other, it is too small.

Only the images that a cell asks about enter; the study's other images say nothing about it. If several pictures belong together,
the group counts as one image (`predictions.clusters`). $I$ is Kish's effective number $n^2 / \sum_i m_i^2$ for n questions with
$m_i$ on image i, which equals the number of images if all have equally many. In a weighted sum, cells count by their weights.

If no answer differs, all variances are 0 and would claim certainty. Half an extra answer on either side (Agresti & Min 2005,
doi:10.1002/sim.1781) bounds $V_I$ from below by $1 / I^2$.

`make calibrate` tests this method on studies whose truth is known. In some of them a plain percentile bootstrap over three seeds,
and the t test over seeds alone, are wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats


@dataclass(frozen=True)
class Contribution:
    r"""What one bridge contributes to a contrast. Any number of leading dimensions is allowed, such as simulated studies.

    Args:
        values: value of each run [..., run].
        influence: for each image the sum, over its questions, of score − the cell's mean, divided by the cell's number of questions,
            times $\sqrt{I / (I - 1)}$. Its sum of squares is the cluster-robust variance over images [..., run, image].
        images: ids of the images that the cell asks about, ascending [image].
        num_images: $I$ of the degrees of freedom; Kish's effective number if images differ in weight or number of questions.
        min_image_variance: the least variance over images that this many images can show.
    """

    values: np.ndarray
    influence: np.ndarray
    images: np.ndarray
    num_images: float
    min_image_variance: float

    def __add__(self, other: "Contribution") -> "Contribution":
        """Return the sum of two numbers of the same runs."""
        images = union_of_images([self, other])
        return Contribution(
            self.values + other.values,
            self.influence_of(images) + other.influence_of(images),
            images,
            min(self.num_images, other.num_images),
            max(self.min_image_variance, other.min_image_variance),
        )

    def __mul__(self, weight: float) -> "Contribution":
        return Contribution(
            weight * self.values,
            weight * self.influence,
            self.images,
            self.num_images,
            weight**2 * self.min_image_variance,
        )

    def influence_of(self, images: np.ndarray) -> np.ndarray:
        """Return the influence of each of these images, 0 for those outside the cell [..., run, image]."""
        if images is self.images or np.array_equal(images, self.images):
            return self.influence
        influence = np.zeros((*self.influence.shape[:-1], len(images)))
        influence[..., np.searchsorted(images, self.images)] = self.influence
        return influence


@dataclass(frozen=True)
class Contrast:
    """A difference with the components of its variance.

    Args:
        value: the difference [...].
        seed_variance: $V_b$ of each bridge [..., bridge].
        intersection_variance: $R_b$, the part of $V_b$ that $V_I$ contains too [..., bridge].
        image_variance: $V_I$ [...].
        num_runs: $S_b$ of each bridge.
        num_images: $I$.
    """

    value: np.ndarray
    seed_variance: np.ndarray
    intersection_variance: np.ndarray
    image_variance: np.ndarray
    num_runs: tuple[int, ...]
    num_images: float

    @property
    def seed_only_variance(self) -> np.ndarray:
        """Variance due to seeds alone, clipped at zero [..., bridge]."""
        return np.maximum(self.seed_variance - self.intersection_variance, 0)

    @property
    def variance(self) -> np.ndarray:
        """Total variance $V$ [...]; nan if a bridge has one run, or the cell one image."""
        return self.seed_only_variance.sum(axis=-1) + self.image_variance

    @property
    def degrees_of_freedom(self) -> np.ndarray:
        """Satterthwaite's degrees of freedom, at least those of the bridge with the fewest runs [...].

        Without this minimum the formula can give fewer where $V_I$ is smaller than the sum of $R_b$, as for two bridges that answer
        nearly alike.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            seeds_term = (self.seed_variance**2 / (np.array(self.num_runs) - 1.0)).sum(axis=-1)
            df = self.variance**2 / (seeds_term + self.image_variance**2 / (self.num_images - 1.0))
        return np.maximum(df, min(self.num_runs, default=1) - 1)

    @property
    def standard_error(self) -> np.ndarray:
        """Square root of the variance [...]."""
        return np.sqrt(self.variance)

    def interval(self, level: float | np.ndarray = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end of Student's t interval [...]."""
        # Without variance there are no degrees of freedom, and the interval is the value itself.
        error = self.standard_error
        half_width = np.where(
            error == 0, 0.0, special.stdtrit(self.degrees_of_freedom, (1 + level) / 2) * error
        )
        return self.value - half_width, self.value + half_width

    def p_below(self, bound: float) -> np.ndarray:
        """Return the one-sided p value of *below `bound`*: the chance of so low a value if the truth is `bound` [...]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.cdf((self.value - bound) / self.standard_error, self.degrees_of_freedom)

    def p_above(self, bound: float) -> np.ndarray:
        """Return the one-sided p value of *above `bound`*: the chance of so high a value if the truth is `bound` [...]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return stats.t.sf((self.value - bound) / self.standard_error, self.degrees_of_freedom)


def contribution(
    scores: np.ndarray,
    images: np.ndarray,
    cells: Sequence[tuple[float, np.ndarray]],
    data_seeds: Sequence[int],
    *,
    within_unit: bool = True,
) -> Contribution:
    """Return one bridge's contribution to a contrast between weighted cells of questions.

    The value is the weighted sum of the cells' mean scores. The influence of an image is its linearised share of that value, so its
    sum of squares is the variance over images (Cameron, Gelbach & Miller 2011), with Kish's effective number of images. It assumes
    that images are independent of each other.

    Args:
        scores: [run, example].
        images: id of each example's image, or of its group of images [example].
        cells: (weight, mask over examples [example]). One cell of weight 1 gives the cell's mean; a second one of weight −1
            gives how far the first lies above the second.
        data_seeds: data seed of each run. If there are several, runs of one data seed are averaged.
        within_unit: whether scores lie in [0, 1], so that this many images have a least variance.
    Raises:
        ValueError: if a cell has no example.
    """
    scores = _average_by_data_seed(scores, data_seeds)
    in_any_cell = np.any([mask for _, mask in cells], axis=0)
    unique_images, image_index = np.unique(images[in_any_cell], return_inverse=True)
    values, influence = np.zeros(len(scores)), np.zeros((len(scores), len(unique_images)))
    weight_of_image, min_variance = np.zeros(len(unique_images)), 0.0
    for weight, mask in cells:
        if not mask.any():
            raise ValueError("a cell of 0 examples has no accuracy. Leave it out.")
        cell_scores, index = scores[:, mask], image_index[mask[in_any_cell]]
        mean, counts = cell_scores.mean(axis=1), np.bincount(index, minlength=len(unique_images))
        num_images = np.count_nonzero(counts)
        sums = np.stack(
            [
                np.bincount(index, weights=row, minlength=len(unique_images))
                for row in cell_scores - mean[:, None]
            ]
        )
        values += weight * mean
        # A single image says nothing about other images, so its influence is nan.
        correction = math.sqrt(num_images / (num_images - 1)) if num_images > 1 else math.nan
        influence += weight * sums / cell_scores.shape[1] * correction
        weight_of_image += weight**2 * counts / cell_scores.shape[1] ** 2
        min_variance += weight**2 / num_images**2 if within_unit else 0.0
    effective = (
        weight_of_image.sum() ** 2 / (weight_of_image**2).sum()
        if weight_of_image.any()
        else float(len(unique_images))
    )
    return Contribution(values, influence, unique_images, float(effective), min_variance)


def pool(runs: Sequence[Contribution], data_seeds: Sequence[int]) -> Contribution:
    """Join contributions of one run each, in their order; runs of one data seed are averaged if there are several data seeds."""
    images = union_of_images(runs)
    values = _average_by_data_seed(np.concatenate([one.values for one in runs]), data_seeds)
    influence = _average_by_data_seed(np.concatenate([one.influence_of(images) for one in runs]), data_seeds)
    return Contribution(
        values,
        influence,
        images,
        min(one.num_images for one in runs),
        max(one.min_image_variance for one in runs),
    )


def _average_by_data_seed(rows: np.ndarray, data_seeds: Sequence[int]) -> np.ndarray:
    """Return one row per data seed, ascending; all rows as they are if they share one data seed."""
    levels = sorted(set(data_seeds))
    if len(levels) < 2:
        return rows
    seed_of_row = np.asarray(data_seeds)
    return np.stack([rows[seed_of_row == level].mean(axis=0) for level in levels])


def contrast(first: Contribution, second: Contribution) -> Contrast:
    """Return first − second with its two-way clustered variance over seeds and images (the module's docstring has the equation)."""
    return sum_contributions([first, second * -1])


def sum_contributions(contributions: Sequence[Contribution], *, over_seeds: bool = True) -> Contrast:
    """Return the sum of contributions, each of runs of its own, with its two-way clustered variance.

    It assumes that the runs are independent of each other.

    Args:
        contributions: one per bridge.
        over_seeds: whether the result generalises to other seeds, which a single run cannot support (nan). If False, a single
            run is taken as all there is, and its variance is over images alone.
    """
    images = union_of_images(contributions)
    with_seeds = [one for one in contributions if over_seeds or one.values.shape[-1] > 1]
    value = sum(one.values.mean(axis=-1) for one in contributions)
    influence = sum(one.influence_of(images).mean(axis=-2) for one in contributions)
    assert isinstance(value, np.ndarray | np.floating)
    assert isinstance(influence, np.ndarray)
    no_bridge = np.zeros((*value.shape, 0))
    with np.errstate(invalid="ignore", divide="ignore"):  # one run gives 0 / 0, so its variance is nan
        seeds = [_variance_of_mean(one.values) for one in with_seeds]
        intersection = [
            _variance_of_mean(np.moveaxis(one.influence, -2, -1)).sum(axis=-1) for one in with_seeds
        ]
    return Contrast(
        np.asarray(value),
        np.stack(seeds, axis=-1) if with_seeds else no_bridge,
        np.stack(intersection, axis=-1) if with_seeds else no_bridge,
        np.maximum((influence**2).sum(axis=-1), max(one.min_image_variance for one in contributions)),
        tuple(one.values.shape[-1] for one in with_seeds),
        min(one.num_images for one in contributions),
    )


def union_of_images(contributions: Sequence[Contribution]) -> np.ndarray:
    """Return the ids of all images of some contributions, ascending."""
    first, *others = [one.images for one in contributions]
    if all(one is first or np.array_equal(one, first) for one in others):
        return first
    return np.unique(np.concatenate([first, *others]))


def _variance_of_mean(values: np.ndarray) -> np.ndarray:
    """Return the variance of the mean over the last axis; nan for one value."""
    number = values.shape[-1]
    squares = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return squares / np.float64(number - 1) / number
