"""TokenPacker: each cell of patches is injected into a point of the downsampled grid by attention within the cell."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import cast_for_matmul, collected_weights, in_projections
from bridgelab.bridge.patch_grid import as_cells, require_ratio

STD = 0.02  # of the weights at initialization, as published


class TokenPacker(nn.Module):
    r"""$t_m = \mathrm{MLP}(\mathrm{Attn}(q_m, K_m, V_m))$ for each cell $m$ of $r \times r$ patches.

    The query is $q_m = \mathrm{LN}(W_q \bar x_m)$, where $\bar x$ is the grid of patches downsampled by $r$ (bilinear).
    Keys and values are $\mathrm{LN}(\mathrm{MLP}(x))$ of the cell's patches, each with an MLP of its own. The attention is
    multi-head with biases and has no residual: region-to-point injection.
    Source: TokenPacker, Li et al. 2024, arXiv:2407.02392, as in the authors' code: $r$ = 2, width 1024, heads of 128.
    Differs: keys and values read the one layer that `vision.layer` names, where the authors concatenate four layers of the
    ViT (12, 16, 22 and 23 of CLIP-L), so that all bridges of a study read the same features; one image without slices.
    Published keys: `{q_proj_1,k_proj_1,v_proj_1,ln_q_1,ln_k_1,ln_v_1,clip_attn,mlp}`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches.
        ratio: side of a cell in patches; must divide both sides of the grid.
        num_heads: attention heads.
        width: channels of queries, keys and values; None means `vision_dim`, as published.
    Raises:
        ValueError: if `ratio` does not divide the grid, `num_heads` does not divide `width`, or one is less than 1.
    """

    sized_by = "width"
    paper = "TokenPacker, arXiv:2407.02392"
    code_licence = "Apache-2.0 in its metadata, no licence file"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        grid: Sequence[int],
        ratio: int,
        num_heads: int,
        width: int | None = None,
    ):
        super().__init__()
        width = vision_dim if width is None else width
        require_positive(width=width, num_heads=num_heads)
        require_divisor("num_heads", num_heads, "width", width)
        require_ratio(ratio, grid)
        self.vision_dim, self.text_dim, self.grid, self.ratio = vision_dim, text_dim, grid, ratio
        self.num_tokens = grid[0] * grid[1] // ratio**2
        self.q_proj_1 = nn.Linear(vision_dim, width, bias=False)
        self.k_proj_1, self.v_proj_1 = (
            nn.Sequential(nn.Linear(vision_dim, width), nn.GELU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.ln_q_1, self.ln_k_1, self.ln_v_1 = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.clip_attn = nn.MultiheadAttention(width, num_heads)
        self.mlp = nn.Sequential(nn.Linear(width, text_dim), nn.GELU(), nn.Linear(text_dim, text_dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_tokens} {self.text_dim}"]:
        """Downsample, inject each cell into its point, project. `text` is ignored."""
        cells = as_cells(patches, self.grid, self.ratio)
        query = self.ln_q_1(self.q_proj_1(self._downsampled(cells)))
        keys, values = self.ln_k_1(self.k_proj_1(cells)), self.ln_v_1(self.v_proj_1(cells))
        return self.mlp(self.clip_attn.out_proj(self._inject(query, keys, values)))

    def _downsampled(
        self, cells: Float[Tensor, "batch cell place channel"]
    ) -> Float[Tensor, "batch cell channel"]:
        """Interpolate linearly at each cell's centre: its middle patch, or the mean of its middle two by two."""
        middle = slice((self.ratio - 1) // 2, self.ratio // 2 + 1)
        return cells.unflatten(2, (self.ratio, self.ratio))[:, :, middle, middle].mean((2, 3))

    def _inject(
        self,
        query: Float[Tensor, "batch cell width"],
        keys: Float[Tensor, "batch cell place width"],
        values: Float[Tensor, "batch cell place width"],
    ) -> Float[Tensor, "batch cell width"]:
        """Attend from each cell's query to the patches of that cell.

        There are more keys than queries, so neither keys nor values are projected: the query is taken to the keys' width
        instead, and the mixed values are projected. The keys' bias adds the same to every score of a query, which softmax
        removes.
        """
        batch, heads = len(query), self.clip_attn.num_heads
        of_query, (of_key, _), (of_value, bias) = in_projections(self.clip_attn)
        keys, values = cast_for_matmul(keys), cast_for_matmul(values)
        q = F.linear(query, *of_query).flatten(0, 1).unflatten(-1, (heads, -1)).transpose(0, 1)
        asked = (q.shape[-1] ** -0.5 * q) @ of_key.unflatten(0, (heads, -1))  # head, batch * cell, width
        by_cell = asked.transpose(0, 1).unflatten(0, (batch, -1))
        weights = (by_cell @ keys.transpose(-1, -2)).softmax(dim=-1)
        if (collected := collected_weights()) is not None:
            collected.append(self._over_patches(weights))
        mixed = (weights.to(values.dtype) @ values).flatten(0, 1).transpose(0, 1)
        # [head, batch * cell, width of a head]
        projected = mixed @ of_value.unflatten(0, (heads, -1)).transpose(-1, -2)
        return projected.transpose(0, 1).flatten(1).unflatten(0, (batch, -1)) + bias

    def _over_patches(
        self, weights: Float[Tensor, "batch cell head place"]
    ) -> Float[Tensor, "batch head cell patch"]:
        """Return the weights over all patches, 0 outside a query's cell."""
        rows, columns = self.grid
        numbers = torch.arange(float(rows * columns), device=weights.device)[None, :, None]
        patch = as_cells(numbers, self.grid, self.ratio)[0, :, :, 0].long()
        by_head = weights.transpose(1, 2)
        empty = by_head.new_zeros(*by_head.shape[:3], rows * columns)
        return empty.scatter(3, patch.expand_as(by_head), by_head)
