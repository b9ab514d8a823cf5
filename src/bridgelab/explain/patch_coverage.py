"""Which patches of an image show which objects, from a mask of the objects at each pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MIN_COVERAGE = 0.05  # share of a patch's pixels that an object must cover to be shown by it
# CLEVR's camera (`base_scene.blend`: a lens of 35 mm before a sensor of 32 mm), which gives an object's radius in pixels.
FOCAL = 35 / 32
RADIUS = {"small": 0.35, "large": 0.7}


def disc_mask(objects: Sequence[dict[str, Any]], height: int, width: int) -> np.ndarray:
    """Return the object whose disc is seen at each pixel, −1 for none, int [height, width].

    An object's disc has its size and depth and lies around its `pixel_coords`; nearer discs cover farther ones.
    """
    row, column = np.mgrid[:height, :width]
    mask = np.full((height, width), -1)
    for k in sorted(range(len(objects)), key=lambda k: -objects[k]["pixel_coords"][2]):
        x, y, depth = objects[k]["pixel_coords"]
        radius = FOCAL * width * RADIUS[objects[k]["size"]] / depth
        mask[(row + 0.5 - y) ** 2 + (column + 0.5 - x) ** 2 <= radius**2] = k
    return mask


def patch_coverage(mask: np.ndarray, objects: int, grid: tuple[int, int]) -> np.ndarray:
    """Return the share of each patch's pixels that each object covers, float [object, patch].

    Args:
        mask: the object at each pixel, −1 for none, int [height, width], of any size.
        objects: number of objects.
        grid: rows and columns of patches.
    """
    height, width = mask.shape
    row, column = np.arange(height) * grid[0] // height, np.arange(width) * grid[1] // width
    patch = (row[:, None] * grid[1] + column).ravel()
    patches = grid[0] * grid[1]
    counts = np.bincount((mask.ravel() + 1) * patches + patch, minlength=(objects + 1) * patches)
    counts = counts.reshape(objects + 1, patches)
    return counts[1:] / counts.sum(0)


def patches_of_objects(mask: np.ndarray, objects: int, grid: tuple[int, int]) -> np.ndarray:
    """Return whether each patch shows each object, bool [object, patch]; arguments as in `patch_coverage`.

    A patch shows an object that covers `MIN_COVERAGE` of it. The patch that an object covers most always shows it.
    """
    coverage = patch_coverage(mask, objects, grid)
    most = (coverage == coverage.max(1, keepdims=True)) & (coverage > 0)
    return (coverage >= MIN_COVERAGE) | most
