"""Patches average-pooled to a coarser grid, then one of LLaVA's projectors: compression without selection."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.linear import Linear
from bridgelab.bridge.mlp import MLP
from bridgelab.bridge.patch_grid import as_map, pooled_side

PROJECTORS = ("linear", "mlp")


class Pooled(nn.Module):
    r"""The token-matched control of every bridge that compresses: $t = P(\mathrm{pool}(x))$.

    The pool averages the grid of patches over $\sqrt M \times \sqrt M$ cells, and $P$ is `Linear` or `MLP`. If a query
    bridge with as many tokens does better, the reason is that it chooses what to read.
    Source: DeCo, Yao et al. 2024, arXiv:2405.20985 (adaptive average pool, then the MLP).

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches; must be equal.
        num_tokens: number of tokens; a square, at most the number of patches.
        projector: `linear` or `mlp`.
        hidden_dim: hidden width of the MLP; None means `text_dim`.
    Raises:
        ValueError: if the grid or `num_tokens` does not fit, or there is no such projector.
    """

    sized_by = "hidden_dim"
    paper = "DeCo, arXiv:2405.20985"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        grid: Sequence[int],
        num_tokens: int,
        projector: str,
        hidden_dim: int | None = None,
    ):
        super().__init__()
        if projector not in PROJECTORS:
            raise ValueError(
                f"projector={projector!r}: must be one of {', '.join(PROJECTORS)}. Set bridge.projector."
            )
        if projector == "linear" and hidden_dim is not None:
            raise ValueError(
                f"hidden_dim={hidden_dim}, but the linear projector has no hidden layer. "
                "Set bridge.projector=mlp, or bridge.hidden_dim=null."
            )
        self.vision_dim, self.text_dim, self.num_tokens = vision_dim, text_dim, num_tokens
        self.grid, self.side = grid, pooled_side(num_tokens, grid)
        self.project = (
            Linear(vision_dim, text_dim)
            if projector == "linear"
            else MLP(vision_dim, text_dim, hidden_dim=hidden_dim)
        )

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Average, then project. `text` is ignored."""
        pooled = F.adaptive_avg_pool2d(as_map(patches, self.grid), self.side)
        return self.project(pooled.flatten(2).transpose(1, 2))
