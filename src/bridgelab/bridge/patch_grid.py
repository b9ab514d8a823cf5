"""Patches as a map of rows and columns, for bridges that keep their places."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def grid_patches(
    patches: Float[Tensor, "batch token channel"], grid: Sequence[int]
) -> Float[Tensor, "batch patch channel"]:
    """Return the patches of one image's grid, without the class token that `vision.cls=true` puts before them.

    So bridges that keep places can be compared with others that read the class token, on the same features.

    Raises:
        ValueError: if the number of patches does not fit the grid.
    """
    rows, columns = grid
    if patches.shape[1] == rows * columns + 1:
        return patches[:, 1:]
    if patches.shape[1] != rows * columns:
        raise ValueError(
            f"{patches.shape[1]} patches do not fill the grid {rows} x {columns}: a bridge that keeps places reads each "
            "patch of one image. Choose a bridge that takes any number of patches, such as linear or qformer."
        )
    return patches


def as_map(
    patches: Float[Tensor, "batch token channel"], grid: Sequence[int]
) -> Float[Tensor, "batch channel row column"]:
    """Lay out patches in raster order as rows and columns, without a class token.

    Raises:
        ValueError: if the number of patches does not fit the grid.
    """
    rows, columns = grid
    return grid_patches(patches, grid).transpose(1, 2).unflatten(2, (rows, columns))


def as_cells(
    patches: Float[Tensor, "batch token channel"], grid: Sequence[int], ratio: int
) -> Float[Tensor, "batch cell place channel"]:
    """Group patches in raster order into square cells of `ratio` x `ratio`, both in raster order, without a class token.

    Raises:
        ValueError: if the number of patches does not fit the grid.
    """
    rows, columns = grid
    cells = grid_patches(patches, grid).unflatten(1, (rows // ratio, ratio, columns // ratio, ratio))
    # batch, row, row in cell, column, column in cell, channel → batch, row, column, row in cell, column in cell, channel
    return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def require_ratio(ratio: int, grid: Sequence[int]) -> None:
    """Check that square cells of `ratio` x `ratio` patches fill a grid.

    Raises:
        ValueError: if they do not.
    """
    rows, columns = grid
    if ratio < 1 or rows % ratio or columns % ratio:
        choices = [n for n in range(1, min(grid) + 1) if rows % n == 0 and columns % n == 0]
        raise ValueError(
            f"ratio={ratio} does not divide the grid {rows} x {columns}. Set bridge.ratio to one of {choices}."
        )


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
