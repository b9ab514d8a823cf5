"""Patches as a map of rows and columns, for bridges that keep their places."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def as_map(
    patches: Float[Tensor, "batch patch channel"], grid: Sequence[int]
) -> Float[Tensor, "batch channel row column"]:
    """Lay out patches in raster order as rows and columns.

    Raises:
        ValueError: if the number of patches does not fit the grid.
    """
    rows, columns = grid
    if patches.shape[1] != rows * columns:
        raise ValueError(
            f"{patches.shape[1]} patches do not fill the grid {rows} x {columns}: a bridge that keeps places needs "
            "each patch, and no class token. Set vision.cls=false."
        )
    return patches.transpose(1, 2).unflatten(2, (rows, columns))


def pooled_side(num_tokens: int, grid: Sequence[int]) -> int:
    """Return the side of the square of tokens that a grid is pooled to.

    Raises:
        ValueError: if `num_tokens` is not a square, the grid is not square, or there are more tokens than patches.
    """
    side = math.isqrt(max(0, num_tokens))
    if side < 1 or side * side != num_tokens:
        lower, upper = max(1, side) ** 2, (side + 1) ** 2
        raise ValueError(
            f"num_tokens={num_tokens} is not a square, and a grid is pooled to as many rows as columns. "
            f"Set bridge.num_tokens to {lower} or {upper}."
        )
    rows, columns = grid
    if rows != columns:
        raise ValueError(
            f"grid={rows} x {columns} is not square: pooled to {side} x {side} it would be distorted. "
            "Give the ViT square images, or choose a bridge without a pool."
        )
    if side > rows:
        raise ValueError(
            f"num_tokens={num_tokens} is more than the {rows * columns} patches: pooling would only repeat them. "
            f"Set bridge.num_tokens to at most {rows * columns}."
        )
    return side
