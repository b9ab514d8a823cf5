"""Idefics3's connector: neighbouring patches concatenated into one token, then one linear layer."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bridgelab.bridge.patch_grid import as_map


class PixelShuffle(nn.Module):
    r"""$t = W [x_1; \dots; x_{r^2}]$ for each cell of $r \times r$ patches (space to depth).

    A linear bridge with one token per cell instead of one per patch, and $r^2$ times the parameters.
    Source: Idefics3, Laurençon et al. 2024, arXiv:2408.12637; the shuffle is that of InternVL 1.5, arXiv:2404.16821.
    Published key: `model.connector.modality_projection.proj.weight`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches.
        ratio: side of a cell in patches; must divide both sides of the grid.
    Raises:
        ValueError: if `ratio` is less than 1 or does not divide the grid.
    """

    paper = "Idefics3, arXiv:2408.12637"
    code_licence = "Apache-2.0, transformers"

    def __init__(self, vision_dim: int, text_dim: int, *, grid: Sequence[int], ratio: int):
        super().__init__()
        rows, columns = grid
        if ratio < 1 or rows % ratio or columns % ratio:
            choices = [n for n in range(1, min(grid) + 1) if rows % n == 0 and columns % n == 0]
            raise ValueError(
                f"ratio={ratio} does not divide the grid {rows} x {columns}. Set bridge.ratio to one of {choices}."
            )
        self.vision_dim, self.text_dim, self.grid, self.ratio = vision_dim, text_dim, grid, ratio
        self.num_tokens = rows * columns // ratio**2
        self.proj = nn.Linear(vision_dim * ratio**2, text_dim, bias=False)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Concatenate each cell's patches, then project. `text` is ignored."""
        cells = as_map(patches, self.grid).unflatten(3, (-1, self.ratio)).unflatten(2, (-1, self.ratio))
        # batch, channel, row, row in cell, column, column in cell → batch, row, column, row in cell, column in cell, channel
        return self.proj(cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2))
