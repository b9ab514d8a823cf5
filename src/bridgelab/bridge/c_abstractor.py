"""Honeybee's C-Abstractor: convolutions before and after a pool, so that compression keeps locality."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from timm.layers import LayerNorm2d
from timm.models.regnet import RegStage
from torch import Tensor, nn

from bridgelab.bridge.argument_checks import require_positive
from bridgelab.bridge.patch_grid import as_map, pooled_side


def stage(in_dim: int, width: int, depth: int) -> RegStage:
    """Return RegNet's bottleneck blocks as in Honeybee: depthwise 3 × 3, squeeze and excitation, SiLU, LayerNorm."""
    return RegStage(depth, in_dim, width, stride=1, dilation=1, act_layer=nn.SiLU, norm_layer=LayerNorm2d)


class CAbstractor(nn.Module):
    r"""$t = \mathrm{MLP}(S_2(\mathrm{pool}(S_1(x + p))))$ with $S$ of `depth` RegNet blocks and a pool to $\sqrt M \times \sqrt M$.

    A block is $y = \mathrm{SiLU}(x' + N(W_3\, \mathrm{SE}(\mathrm{SiLU}(N(D * \mathrm{SiLU}(N(W_1 x)))))))$, where $N$ is a
    LayerNorm over channels, $D$ a depthwise 3 × 3 convolution and $x'$ the input, projected if widths differ.
    Source: Honeybee, Cha et al. 2024, arXiv:2312.06742: depth 3, width 1024, a 2-layer MLP with SiLU, position embeddings
    $p$ from a truncated normal of 0.02. Published keys: `abstractor.{pos_emb,net.0,net.2,readout.0,readout.2}`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches; must be equal.
        num_tokens: number of tokens; a square, at most the number of patches.
        depth: number of blocks before the pool, and again after it.
        width: channels of the blocks; None means `vision_dim`.
    Raises:
        ValueError: if the grid or `num_tokens` does not fit, or `depth` or `width` is less than 1.
    """

    sized_by = "width"
    paper = "Honeybee, arXiv:2312.06742"
    code_licence = "Apache-2.0"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        grid: Sequence[int],
        num_tokens: int,
        depth: int,
        width: int | None = None,
    ):
        super().__init__()
        width = vision_dim if width is None else width
        require_positive(depth=depth, width=width)
        self.vision_dim, self.text_dim, self.grid, self.num_tokens = vision_dim, text_dim, grid, num_tokens
        self.pos_emb = nn.Parameter(torch.zeros(1, grid[0] * grid[1], vision_dim))
        nn.init.trunc_normal_(self.pos_emb, std=0.02)
        pool = nn.AdaptiveAvgPool2d(pooled_side(num_tokens, grid))
        self.net = nn.Sequential(stage(vision_dim, width, depth), pool, stage(width, width, depth))
        self.readout = nn.Sequential(nn.Linear(width, text_dim), nn.SiLU(), nn.Linear(text_dim, text_dim))

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Convolve, average, convolve, project. `text` is ignored."""
        x = self.net(as_map(patches, self.grid) + as_map(self.pos_emb, self.grid))
        return self.readout(x.flatten(2).transpose(1, 2))
