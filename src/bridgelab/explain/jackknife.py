"""The grouped jackknife, for statistics over images that are not means."""

import math
from collections.abc import Callable

import numpy as np

from bridgelab.report.diagnosis.record import SINGLE_RUN
from bridgelab.statistics.contrast import Contribution
from bridgelab.statistics.estimate import Estimate

MAX_GROUPS = 20  # of images


def jackknife(statistic: Callable[[np.ndarray], float], images: int) -> Estimate:
    r"""Return a statistic with its variance from the pseudo-values $G\theta - (G-1)\theta_{(g)}$, where group g is left out.

    Source: Tukey 1958, Annals of Mathematical Statistics 29, 614. It assumes that the statistic is smooth in the images' weights.

    Args:
        statistic: function of the indices of some images [image].
        images: number of images.
    Raises:
        ValueError: if there are fewer than two images.
    """
    if images < 2:
        raise ValueError(f"{images} image: a jackknife leaves some out, so at least 2 are needed.")
    groups = min(MAX_GROUPS, images)
    group_of_image = np.arange(images) % groups
    value = statistic(np.arange(images))
    pseudo_values = np.array(
        [
            groups * value - (groups - 1) * statistic(np.flatnonzero(group_of_image != group))
            for group in range(groups)
        ]
    )
    influence = (pseudo_values - pseudo_values.mean()) / math.sqrt(groups * (groups - 1))
    own = Contribution(np.array([value]), influence[None], np.arange(groups), groups, 0.0)
    return Estimate(value, {SINGLE_RUN: own})
