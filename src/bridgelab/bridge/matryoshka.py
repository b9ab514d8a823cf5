"""Matryoshka queries: a resampler that is trained to be read from its first m tokens, for any m."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive, square_side
from bridgelab.bridge.attention import cast_for_matmul, collected_weights, in_projections
from bridgelab.bridge.patch_grid import grid_patches
from bridgelab.bridge.perceiver_qwen import EPS, STD, resized, sincos_positions

GAIN = 2  # of the projections of queries and keys at initialization


class MatryoshkaQueries(nn.Module):
    r"""$t_{1..m} = \mathrm{Attn}(\mathrm{LN}(q_{1..m} + p_{1..m}), \mathrm{LN}(p_x), \mathrm{LN}(x)) \, W$.

    One multi-head cross-attention of width `vision_dim`, with biases; $p$ are the fixed 2-D positions of `perceiver_qwen`, of the
    queries' grid for $p_{1..M}$ and interpolated to the patches' grid for $p_x$. Keys are positions alone, so each query averages
    the patches with weights that are the same for every image. Queries do not see each other: the first m tokens are the same
    whether the others are computed or not.

    In training each step draws m between 1 and M = `num_queries`, and the other queries are left out. The draw depends on the
    number of steps alone, which the weights hold: it is the same for every seed, for every process and after a resume. The first
    step takes all M, so that a run whose memory does not suffice says so at once. Otherwise the bridge outputs all M tokens, or
    as many as `limit_tokens` says.

    Source: Hu et al. 2024, arXiv:2405.19315, in the form of the authors' code: M = 256, 16 heads, m drawn from the even numbers.
    Differs: m may be odd, and training has no first stage with all M; the patches' grid need not be square; queries start as
    $\mathcal{N}(0, 1)$, and the projections of queries and keys twice as large. As published, with queries of 0.02, each query
    starts close to the mean of all patches: tokens were 4 to 6 % of their length apart. Published keys have these names, and
    `pos_embed` beside them.

    Args:
        vision_dim: channels of one patch, a multiple of 4.
        text_dim: channels of one word embedding.
        grid: rows and columns of the patches.
        num_queries: the largest number of tokens, M; a square.
        num_heads: attention heads; must divide `vision_dim`.
    Raises:
        ValueError: if `num_queries` is not a square, `vision_dim` is no multiple of 4 and `num_heads`, or one is less than 1.
    """

    paper = "MQT, arXiv:2405.19315"
    code_licence = "Apache-2.0, parts Tongyi Qianwen License"
    draws_tokens = True

    steps: Tensor
    query_positions: Tensor
    key_positions: Tensor

    def __init__(
        self, vision_dim: int, text_dim: int, *, grid: Sequence[int], num_queries: int, num_heads: int
    ):
        super().__init__()
        require_positive(num_queries=num_queries, num_heads=num_heads)
        require_divisor("num_heads", num_heads, "vision_dim", vision_dim)
        if vision_dim % 4:
            raise ValueError(
                f"vision_dim={vision_dim}: 2-D positions need a sine and a cosine for rows and for columns, so it must be a "
                "multiple of 4. Choose another vision encoder, or bridge=perceiver_qwen."
            )
        side = square_side("num_queries", num_queries)
        self.vision_dim, self.text_dim, self.num_queries, self.grid = vision_dim, text_dim, num_queries, grid
        self.limit: int | None = None
        self.query = nn.Parameter(torch.randn(num_queries, vision_dim))
        self.attn = nn.MultiheadAttention(vision_dim, num_heads)
        nn.init.trunc_normal_(self.attn.out_proj.weight, std=STD)
        with torch.no_grad():
            self.attn.in_proj_weight[: 2 * vision_dim] *= GAIN
        self.ln_q, self.ln_k, self.ln_v = (nn.LayerNorm(vision_dim, eps=EPS) for _ in range(3))
        self.proj = nn.Parameter(text_dim**-0.5 * torch.randn(vision_dim, text_dim))
        positions = sincos_positions(side, vision_dim)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("query_positions", positions, persistent=False)
        self.register_buffer("key_positions", resized(positions, side, grid), persistent=False)

    def limit_tokens(self, number: int | None) -> None:
        """Output the first tokens alone, outside training.

        Args:
            number: how many; None for all.
        Raises:
            ValueError: if there are not as many.
        """
        if number is not None and not 1 <= number <= self.num_queries:
            raise ValueError(
                f"evaluate.tokens={number}: this bridge has {self.num_queries} queries. Set evaluate.tokens to a number from 1 to "
                f"{self.num_queries}, or to null for all."
            )
        self.limit = number

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch token {self.text_dim}"]:
        """Read the patches into the first queries. `text` is ignored."""
        number = self._draw() if self.training and torch.is_grad_enabled() else self.limit
        patches = grid_patches(patches, self.grid)
        of_query, of_key, of_value = in_projections(self.attn)
        query = F.linear(self.ln_q(self.query[:number] + self.query_positions[:number]), *of_query)
        keys = F.linear(self.ln_k(self.key_positions), *of_key)
        values = F.linear(cast_for_matmul(self.ln_v(patches)), *of_value)
        q, k, v = (
            x.unflatten(-1, (self.attn.num_heads, -1)).transpose(-3, -2) for x in (query, keys, values)
        )
        weights = (q.shape[-1] ** -0.5 * q @ k.transpose(-1, -2)).softmax(dim=-1)  # head, query, patch
        if (collected := collected_weights()) is not None:
            collected.append(weights.expand(len(patches), -1, -1, -1))
        mixed = weights.to(v.dtype) @ v
        return self.attn.out_proj(mixed.transpose(1, 2).flatten(2)) @ self.proj

    def repeat_draw(self) -> None:
        """Give the next pass the number of tokens of the last one: it is another part of the same step."""
        self.steps -= 1

    def _draw(self) -> int:
        """Return the number of tokens of this step, and count the step."""
        step = int(self.steps)
        self.steps += 1
        return (
            int(np.random.default_rng(step).integers(1, self.num_queries + 1)) if step else self.num_queries
        )
