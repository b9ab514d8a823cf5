r"""The variances of a contrast in studies not yet run: at another size, and as other draws of seeds and images would show them.

A variance estimated with $\nu$ degrees of freedom is distributed as $V \chi^2_\nu / \nu$. Turned round, the variance that stands
behind an estimate is distributed as $\hat V \nu / \chi^2_\nu$, its posterior under the
usual noninformative prior (Gelman et al. 2013, Bayesian Data Analysis, section 3.2).
"""

from collections.abc import Callable

import numpy as np

from bridgelab.statistics.contrast import Contrast


def at_size(pilot: Contrast, seeds: int, image_factor: float) -> Contrast:
    """Return a contrast with the variances expected at another number of seeds and of images.

    Assumes that $V_b$ scales with one over the seeds, $V_I$ with one over the images, and $R_b$ with one over both.

    Args:
        pilot: one cell of a study that was run.
        seeds: number of seeds of each bridge.
        image_factor: number of images as a multiple of the pilot's.
    """
    ratio = np.array(pilot.num_runs) / seeds
    intersection = pilot.intersection_variance * ratio / image_factor
    images_alone = np.maximum(pilot.image_variance - pilot.intersection_variance.sum(axis=-1), 0)
    return Contrast(
        pilot.value,
        pilot.seed_only_variance * ratio + intersection,
        intersection,
        images_alone / image_factor + intersection.sum(axis=-1),
        tuple(seeds for _ in pilot.num_runs),
        pilot.num_images * image_factor,
    )


def draw_estimated_variances(truth: Contrast, draws: int) -> Contrast:
    r"""Draw the variances that other studies would estimate if these are the true ones: $V \chi^2_\nu / \nu$.

    The random numbers are the same in each call.

    Returns:
        A contrast with a leading axis of draws [draw, ...].
    """
    return _scale_variances(truth, draws, lambda ratio: ratio)


def draw_true_variances(estimate: Contrast, draws: int) -> Contrast:
    r"""Draw true variances from their posterior given these estimates: $\hat V \nu / \chi^2_\nu$.

    The random numbers are the same in each call.

    Returns:
        A contrast with a leading axis of draws [draw, ...].
    """
    return _scale_variances(estimate, draws, np.reciprocal)


def _scale_variances(original: Contrast, draws: int, factor: Callable[[np.ndarray], np.ndarray]) -> Contrast:
    rng = np.random.default_rng(0)
    seeds_df = np.maximum(np.array(original.num_runs) - 1.0, 1)
    images_df = max(original.num_images - 1, 1)
    seeds_chi2 = rng.chisquare(seeds_df, size=(draws, *original.seed_variance.shape))
    images_chi2 = rng.chisquare(images_df, size=(draws, *original.image_variance.shape))
    return Contrast(
        original.value,
        original.seed_variance * factor(seeds_chi2 / seeds_df),
        original.intersection_variance,
        original.image_variance * factor(images_chi2 / images_df),
        original.num_runs,
        original.num_images,
    )
