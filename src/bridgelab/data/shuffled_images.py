"""The control `shuffled`: which other image each image is replaced with."""

import numpy as np


def another_image(images: int) -> np.ndarray:
    """Return for each image the row of another one, the same for every bridge and seed.

    Raises:
        ValueError: if there are fewer than two images.
    """
    if images < 2:
        raise ValueError(
            f"{images} image can't be shuffled: at least 2 are needed. Evaluate on more images, or set "
            "evaluate.shuffled=false."
        )
    order = np.random.default_rng(0).permutation(images)
    other = np.empty(images, dtype=np.int64)
    other[order] = np.roll(order, 1)  # one cycle, so that no image keeps its own place
    return other
