"""Honeybee's D-Abstractor: queries on a grid that sample patches around points of their own (deformable attention)."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import attend, cast_for_matmul, collected_weights
from bridgelab.bridge.patch_grid import as_map, grid_patches, pooled_side


class SelfAttention(nn.Module):
    """Multi-head attention among the queries; their positions are added to queries and keys, not to values."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, hidden: Float[Tensor, "batch query width"], positions: Float[Tensor, "batch query width"]
    ) -> Float[Tensor, "batch query width"]:
        placed, hidden = cast_for_matmul(hidden + positions), cast_for_matmul(hidden)
        projected = self.q_proj(placed), self.k_proj(placed), self.v_proj(hidden)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected)
        return self.o_proj(attend(q, k, v).transpose(1, 2).flatten(2))


def nearness(place: Float[Tensor, "*batch"], count: int) -> Float[Tensor, "*batch {count}"]:
    r"""Return $\max(0, 1 - |t|)$ for the distance $t$ of each place from each of the places 0, 1, …, `count` - 1."""
    distance = (place[..., None] - torch.arange(count, device=place.device)).abs()
    return (1 - distance).relu()  # keeps its output alone for the backward pass


class DeformableAttention(nn.Module):
    r"""$\sum_p A_{mhp} \, V_h(r_m + \Delta_{mhp})$ for query $m$ and head $h$, projected (Zhu et al. 2021, arXiv:2010.04159).

    $\Delta$ and the softmax $A$ over $p$ are linear in the query. $V_h(\cdot)$ interpolates the projected patches linearly
    between the four around a point, which are zero outside the image. That is attention whose weights over the patches are
    $\sum_p A_{mhp} \, \Lambda(y - i) \, \Lambda(x - j)$ with $\Lambda(t) = \max(0, 1 - |t|)$. They are computed as such, by
    matrix products, since a bridge's grid is small: torch's sampling of single points is slow on a CPU and not
    implemented in bfloat16. Initialized as in the paper: head $h$ samples at angle $2 \pi h / H$, 1 to $P$ patches away, all alike.
    """

    def __init__(self, width: int, num_heads: int, num_points: int, grid: Sequence[int]):
        super().__init__()
        self.num_heads, self.num_points, self.grid = num_heads, num_points, grid
        self.sampling_offsets = nn.Linear(width, num_heads * num_points * 2)
        self.attention_weights = nn.Linear(width, num_heads * num_points)
        self.value_proj, self.output_proj = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        angles = torch.arange(num_heads) * (2 * math.pi / num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, num_points + 1)[None, :, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((directions[:, None] * steps).flatten())

    def forward(
        self,
        query: Float[Tensor, "batch query width"],
        patches: Float[Tensor, "batch patch width"],
        points: Float[Tensor, "query 2"],
    ) -> Float[Tensor, "batch query width"]:
        """Sample the patches.

        Args:
            query: hidden states with their positions.
            patches: of the grid, in raster order.
            points: (x, y) in the image from (0, 0) at the top left to (1, 1).
        """
        query = cast_for_matmul(query)
        values = self.value_proj(patches).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        weights = self._over_patches(query, points).to(values.dtype)
        if (collected := collected_weights()) is not None:
            collected.append(weights)
        return self.output_proj((weights @ values).transpose(1, 2).flatten(2))

    def _over_patches(
        self, query: Float[Tensor, "batch query width"], points: Float[Tensor, "query 2"]
    ) -> Float[Tensor, "batch head query patch"]:
        """Return the attention weights over patches. Places need more digits than bfloat16 has: at least float32 is used."""
        dtype = torch.promote_types(query.dtype, torch.float32)
        offsets = self.sampling_offsets(query).to(dtype).unflatten(-1, (self.num_heads, self.num_points, 2))
        shares = self.attention_weights(query).to(dtype).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        rows, columns = self.grid
        # A patch's centre lies half a patch inside its edge.
        in_column, in_row = (
            nearness(points[:, axis, None, None].to(dtype) * count - 0.5 + offsets[..., axis], count)
            for axis, count in enumerate((columns, rows))
        )
        with torch.autocast(query.device.type, enabled=False):
            of_patches = (shares[..., None] * in_row).transpose(-1, -2) @ in_column
        return of_patches.flatten(-2).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear → ReLU → Linear."""

    def __init__(self, width: int, ffn_dim: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, ffn_dim), nn.Linear(ffn_dim, width)

    def forward(self, x: Float[Tensor, "batch query width"]) -> Float[Tensor, "batch query width"]:
        return self.fc2(F.relu(self.fc1(x)))


class Layer(nn.Module):
    """Self-attention, deformable attention and feed-forward network, each with a residual and a LayerNorm behind it."""

    def __init__(self, width: int, num_heads: int, num_points: int, ffn_dim: int, grid: Sequence[int]):
        super().__init__()
        self.self_attn = SelfAttention(width, num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = DeformableAttention(width, num_heads, num_points, grid)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.mlp = FeedForward(width, ffn_dim)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        hidden: Float[Tensor, "batch query width"],
        positions: Float[Tensor, "batch query width"],
        patches: Float[Tensor, "batch patch width"],
        points: Float[Tensor, "query 2"],
    ) -> Float[Tensor, "batch query width"]:
        hidden = self.self_attn_layer_norm(hidden + self.self_attn(hidden, positions))
        sampled = self.encoder_attn(hidden + positions, patches, points)
        hidden = self.encoder_attn_layer_norm(hidden + sampled)
        return self.final_layer_norm(hidden + self.mlp(hidden))


def point_grid(side: int, grid: Sequence[int]) -> Float[Tensor, "point 2"]:
    """Return (x, y) of `side` x `side` points that span the centres of a grid's corner patches, in raster order."""
    rows, columns = grid
    y, x = (torch.linspace(0.5, count - 0.5, side) / count for count in (rows, columns))
    return torch.stack([x.repeat(side), y.repeat_interleave(side)], dim=-1)


class DAbstractor(nn.Module):
    r"""$t = W h_L$, where queries on a $\sqrt M \times \sqrt M$ grid pass $L$ layers of deformable attention over $x + p$.

    Each query starts as a learned vector, has the pooled patches of its cell as its position, and samples around a learned
    reference point, at first its place on the grid. So locality is kept, as by the C-Abstractor, and what is sampled depends on the
    image.
    Source: Honeybee, Cha et al. 2024, arXiv:2312.06742, as in the authors' code: 6 layers of width 1024, 8 heads, 4
    points, FFN 1024, 144 tokens, `pooled_v_target: query`; a layer is Deformable DETR's decoder layer. Differs: no dropout
    (published: 0.1), so that no bridge is regularised while others are not; class token left out.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches; must be equal.
        num_tokens: number of queries, and so of tokens; a square, at most the number of patches.
        depth: number of layers.
        num_heads: attention heads, also of the deformable attention.
        num_points: samples of each head for each query.
        width: channels of the queries; None means `vision_dim`, as published.
        ffn_dim: hidden width of the feed-forward networks; None means `width`, as published.
    Raises:
        ValueError: if the grid or `num_tokens` does not fit, `num_heads` does not divide `width`, or a count is less than 1.
    """

    sized_by = "ffn_dim"
    fixed_at_init = ("reference_points", "sampling_offsets.bias")
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
        num_heads: int,
        num_points: int,
        width: int | None = None,
        ffn_dim: int | None = None,
    ):
        super().__init__()
        width = vision_dim if width is None else width
        ffn_dim = width if ffn_dim is None else ffn_dim
        require_positive(
            depth=depth, num_heads=num_heads, num_points=num_points, width=width, ffn_dim=ffn_dim
        )
        require_divisor("num_heads", num_heads, "width", width)
        self.vision_dim, self.text_dim, self.num_tokens = vision_dim, text_dim, num_tokens
        self.grid, self.side = grid, pooled_side(num_tokens, grid)
        self.input_proj = nn.Identity() if vision_dim == width else nn.Linear(vision_dim, width)
        self.v_pos_emb = nn.Parameter(torch.zeros(1, grid[0] * grid[1], width))
        nn.init.trunc_normal_(self.v_pos_emb, std=0.02)
        self.query_position_embeddings = nn.Parameter(torch.randn(num_tokens, width))
        self.reference_points = nn.Parameter(point_grid(self.side, grid))
        self.layers = nn.ModuleList(Layer(width, num_heads, num_points, ffn_dim, grid) for _ in range(depth))
        self.output_proj = nn.Identity() if text_dim == width else nn.Linear(width, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Read the patches into the queries, then project. `text` is ignored."""
        x = self.input_proj(grid_patches(patches, self.grid)) + self.v_pos_emb
        positions = F.adaptive_avg_pool2d(as_map(x, self.grid), self.side).flatten(2).transpose(1, 2)
        x = cast_for_matmul(x)
        hidden = self.query_position_embeddings.expand(len(x), -1, -1)
        for layer in self.layers:
            hidden = cast(Layer, layer)(hidden, positions, x, self.reference_points)
        return self.output_proj(hidden)
