"""Idefics3's connector: neighbouring patches concatenated into one token, then one linear layer."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bridgelab.bridge.patch_grid import as_cells, require_ratio


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
        require_ratio(ratio, grid)
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
        return self.proj(as_cells(patches, self.grid, self.ratio).flatten(2))
