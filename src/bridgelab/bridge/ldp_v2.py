"""MobileVLM V2's projector: the MLP, an average pool, and a depthwise convolution that injects positions."""

from collections.abc import Sequence

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_positive
from bridgelab.bridge.patch_grid import as_map, grid_patches, pooled_side


class LDPv2(nn.Module):
    r"""$t = p + D * p$ with $p = \mathrm{pool}(W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2)$.

    The pool averages the grid over $\sqrt M \times \sqrt M$ cells, and $D$ is a depthwise 3 x 3 convolution with a bias: a
    positional encoding generator (CPVT, Chu et al. 2023, arXiv:2102.10882). So it is `Pooled` with the MLP before the pool, plus
    the convolution.
    Source: MobileVLM V2, Chu et al. 2024, arXiv:2402.03766: 576 patches to 144 tokens, hidden width `text_dim`.
    Differs: the second linear layer comes after the pool, which gives the same tokens, since both are linear and a mean keeps
    $b_2$, at a fraction of the products. Published keys: `model.mm_projector.{mlp.mlp.0,mlp.mlp.2,peg.peg.0}`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches; must be equal.
        num_tokens: number of tokens; a square, at most the number of patches.
        hidden_dim: hidden width of the MLP; None means `text_dim`, as published.
    Raises:
        ValueError: if the grid or `num_tokens` does not fit, or `hidden_dim` is less than 1.
    """

    sized_by = "hidden_dim"
    paper = "MobileVLM V2, arXiv:2402.03766"
    code_licence = "Apache-2.0"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        grid: Sequence[int],
        num_tokens: int,
        hidden_dim: int | None = None,
    ):
        super().__init__()
        hidden_dim = text_dim if hidden_dim is None else hidden_dim
        require_positive(hidden_dim=hidden_dim)
        self.vision_dim, self.text_dim, self.num_tokens = vision_dim, text_dim, num_tokens
        self.grid, self.side = grid, pooled_side(num_tokens, grid)
        self.mlp = nn.Sequential(
            nn.Linear(vision_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, text_dim)
        )
        self.peg = nn.Conv2d(text_dim, text_dim, 3, padding=1, groups=text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Project, average, convolve. `text` is ignored."""
        first, gelu, second = self.mlp
        hidden = gelu(first(grid_patches(patches, self.grid)))
        pooled = F.adaptive_avg_pool2d(as_map(hidden, self.grid), self.side)
        tokens = second(pooled.flatten(2).transpose(1, 2))
        return tokens + self.peg(as_map(tokens, (self.side, self.side))).flatten(2).transpose(1, 2)
