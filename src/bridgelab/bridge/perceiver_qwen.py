"""Qwen-VL's adapter: learned queries that cross-attend once, with 2-D positions on queries and keys."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive, square_side
from bridgelab.bridge.attention import attend, cast_for_matmul, in_projections
from bridgelab.bridge.patch_grid import grid_patches

STD = 0.02  # of the queries and weights at initialization, as published
EPS = 1e-6
BASE = 10_000  # of the wavelengths


def sincos_positions(side: int, dim: int) -> Float[Tensor, "place {dim}"]:
    r"""Return fixed positions of a square grid in raster order.

    The first half of the channels encodes the column $p$, the second half the row: $\sin(\omega_i p)$ for all $i$, then
    $\cos(\omega_i p)$, where $\omega_i = 10000^{-i / (d / 4)}$ (MAE, He et al. 2022, arXiv:2111.06377).

    Args:
        side: of the grid.
        dim: channels, a multiple of 4.
    """
    quarter = dim // 4
    frequency = BASE ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency
    along = torch.cat([angle.sin(), angle.cos()], dim=1)  # place, dim / 2
    columns, rows = along.repeat(side, 1), along.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).float()


def resized(
    positions: Float[Tensor, "place dim"], side: int, grid: Sequence[int]
) -> Float[Tensor, "patch dim"]:
    """Interpolate positions of a square grid to another grid (bicubic), as published; equal grids keep them."""
    if tuple(grid) == (side, side):
        return positions
    as_image = positions.T.unflatten(1, (side, side))[None]
    return F.interpolate(as_image, tuple(grid), mode="bicubic", align_corners=False)[0].flatten(1).T


class PositionalAttention(nn.Module):
    r"""$\mathrm{Attn}(\mathrm{LN}(q) + p_q, c + p_c, c)$ with $c = \mathrm{LN}(W x)$, multi-head with biases.

    $p_q$ and $p_c$ are the fixed 2-D positions of queries and patches. $W$ is left out if the widths are equal.
    """

    query_positions: Tensor
    key_positions: Tensor

    def __init__(self, vision_dim: int, width: int, side: int, num_heads: int, grid: Sequence[int]):
        super().__init__()
        self.query = nn.Parameter(torch.empty(side**2, width))
        nn.init.trunc_normal_(self.query, std=STD)
        self.kv_proj = nn.Identity() if vision_dim == width else nn.Linear(vision_dim, width, bias=False)
        self.attn = nn.MultiheadAttention(width, num_heads)
        self.ln_q, self.ln_kv = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        for layer in (self.kv_proj, self.attn.out_proj):
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=STD)
        positions = sincos_positions(side, width)
        self.register_buffer("query_positions", positions, persistent=False)
        self.register_buffer("key_positions", resized(positions, side, grid), persistent=False)

    def forward(self, patches: Float[Tensor, "batch patch vision_dim"]) -> Float[Tensor, "batch query width"]:
        """Read the patches. What does not depend on them (queries, the keys' positions) is projected once per batch."""
        heads = self.attn.num_heads
        of_query, of_key, of_value = in_projections(self.attn)
        context = cast_for_matmul(self.ln_kv(self.kv_proj(patches)))
        query = F.linear(self.ln_q(self.query) + self.query_positions, *of_query)[None]
        offsets = F.linear(self.key_positions, *of_key)
        keys = F.linear(context, of_key[0]) + offsets.to(context.dtype)
        values = F.linear(context, *of_value)
        query = query.expand(len(patches), -1, -1)
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, keys, values))
        mixed = attend(q, k, v, patches=patches.shape[1])
        return self.attn.out_proj(mixed.transpose(1, 2).flatten(2))


class QwenResampler(nn.Module):
    r"""$t = W\,\mathrm{LN}(\mathrm{Attn}(q, x))$ with one cross-attention of learned queries, see `PositionalAttention`.

    Queries stand for a square grid over the image, and queries and keys get fixed sine-cosine positions. So patches can be
    read by place, where other query bridges read by content alone. Queries start from a truncated normal of 0.02, and a
    LayerNorm and their positions keep them apart.
    Source: Qwen-VL, Bai et al. 2023, arXiv:2308.12966: one layer, 256 queries, width 4096 (the language model's), 32 heads
    of 128, for 32 x 32 patches. Differs: the patches' grid need not be square; `width` may differ from `text_dim`.
    Published keys: `transformer.visual.{attn_pool,ln_post,proj}`, here without the prefix and without the fixed
    `attn_pool.pos_embed`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches.
        num_queries: number of queries, and so of tokens; a square.
        num_heads: attention heads.
        width: channels of the attention, a multiple of 4; None means `text_dim`, as published.
    Raises:
        ValueError: if `num_queries` is not a square, `width` is no multiple of 4 and `num_heads`, or one is less than 1.
    """

    sized_by = "width"
    sized_in_multiples_of = 4  # a sine and a cosine, for rows and for columns
    paper = "Qwen-VL, arXiv:2308.12966"
    code_licence = "Tongyi Qianwen License"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        grid: Sequence[int],
        num_queries: int,
        num_heads: int,
        width: int | None = None,
    ):
        super().__init__()
        width = text_dim if width is None else width
        require_positive(num_queries=num_queries, num_heads=num_heads, width=width)
        require_divisor("num_heads", num_heads, "width", width)
        if width % 4:
            raise ValueError(
                f"width={width}: 2-D positions need a sine and a cosine for rows and for columns, so it must be a multiple "
                f"of 4. Set bridge.width to {width - width % 4 or 4} or {width + 4 - width % 4}."
            )
        side = square_side("num_queries", num_queries)
        self.vision_dim, self.text_dim, self.num_queries, self.grid = vision_dim, text_dim, num_queries, grid
        self.attn_pool = PositionalAttention(vision_dim, width, side, num_heads, grid)
        self.ln_post = nn.LayerNorm(width, eps=EPS)
        self.proj = nn.Parameter(width**-0.5 * torch.randn(width, text_dim))

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_queries} {self.text_dim}"]:
        """Read the patches into the queries, then project. `text` is ignored."""
        return self.ln_post(self.attn_pool(grid_patches(patches, self.grid))) @ self.proj
