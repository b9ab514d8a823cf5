"""The Perceiver Resampler: learned latents that attend to the patches and to each other in one attention."""

from typing import cast

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import attend, cast_for_matmul
from bridgelab.bridge.conditioning import check_conditioning, require_question


class PerceiverAttention(nn.Module):
    r"""Attention from the latents to patches and latents together, without biases.

    With $\hat x = \mathrm{LN}(x)$ and $\hat q = \mathrm{LN}(q)$:
    $\mathrm{Attn}(q, x) = \mathrm{softmax}(Q K^\top / \sqrt{d}) V \, W_o$, where $Q = \hat q W_q$ and
    $[K, V] = [\hat x; \hat q] W_{kv}$. The words of a question, if any, are further keys and values.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int):
        super().__init__()
        inner = num_heads * head_dim
        self.head_dim = head_dim
        self.norm_media = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(
        self,
        patches: Float[Tensor, "batch patch dim"],
        latents: Float[Tensor, "batch query dim"],
        words: Float[Tensor, "batch word dim"] | None = None,
        mask: Bool[Tensor, "batch key"] | None = None,
    ) -> Float[Tensor, "batch query dim"]:
        latents = cast_for_matmul(self.norm_latents(latents))
        attended = [self.norm_media(patches), latents, *([] if words is None else [words])]
        context = torch.cat([cast_for_matmul(tokens) for tokens in attended], dim=1)
        keys, values = self.to_kv(context).chunk(2, dim=-1)
        queries = self.to_q(latents)
        q, k, v = (x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for x in (queries, keys, values))
        return self.to_out(attend(q, k, v, mask, patches=patches.shape[1]).transpose(1, 2).flatten(2))


def feed_forward(dim: int, hidden_dim: int) -> nn.Sequential:
    """Return LayerNorm → Linear → GELU → Linear without biases, as a Sequential so that keys match OpenFlamingo's."""
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, hidden_dim, bias=False),
        nn.GELU(),
        nn.Linear(hidden_dim, dim, bias=False),
    )


class PerceiverResampler(nn.Module):
    r"""Compress any number of patches into `num_queries` tokens by cross-attention.

    Per block, $q \leftarrow q + \mathrm{Attn}(q, [x; q])$, then $q \leftarrow q + \mathrm{FFN}(q)$, both pre-norm. At the
    end $t = \mathrm{LN}(q) W + b$. Latents start as $\mathcal{N}(0, 1)$, so no two are equal.
    Source: Alayrac et al. 2022, arXiv:2204.14198, as in OpenFlamingo (depth 6, 64 latents, 8 heads of 64).
    Differs: with conditioning, the question's words, from the frozen T5 through one linear layer and a LayerNorm, are keys
    and values beside latents and patches in all blocks (Flamingo's resampler sees no text); no time embeddings (single
    images); GELU for Flamingo's squared ReLU, as in OpenFlamingo; a linear layer to `text_dim`, since the T5 reads the tokens as
    a prefix, not through gated cross-attention.
    Published keys: `perceiver.{latents,layers,norm}`, here without the prefix; `language_projection` is ours.

    Args:
        vision_dim: channels of one patch, and the resampler's width.
        text_dim: channels of one word embedding.
        num_queries: number of latents, and so of tokens.
        depth: number of blocks.
        num_heads: attention heads.
        head_dim: channels of one head; None means `vision_dim / num_heads`.
        ffn_dim: hidden width of the FFN; None means four times `vision_dim`, as published.
        conditioning: whether latents see the question; one of `conditioning.CONDITIONING`.
    Raises:
        ValueError: if a count is less than 1, `num_heads` does not divide `vision_dim` and `head_dim` is None, or
            `conditioning` is unknown.
    """

    sized_by = "ffn_dim"
    paper = "Flamingo, arXiv:2204.14198"
    code_licence = "MIT, OpenFlamingo"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        num_queries: int,
        depth: int,
        num_heads: int,
        head_dim: int | None = None,
        ffn_dim: int | None = None,
        conditioning: str = "none",
    ):
        super().__init__()
        ffn_dim = 4 * vision_dim if ffn_dim is None else ffn_dim
        require_positive(num_queries=num_queries, depth=depth, num_heads=num_heads, ffn_dim=ffn_dim)
        if head_dim is None:
            require_divisor("num_heads", num_heads, "vision_dim", vision_dim, ", or set bridge.head_dim")
            head_dim = vision_dim // num_heads
        require_positive(head_dim=head_dim)
        check_conditioning(conditioning)
        self.vision_dim, self.text_dim, self.num_queries = vision_dim, text_dim, num_queries
        self.conditioning = conditioning
        self.latents = nn.Parameter(torch.randn(num_queries, vision_dim))
        self.layers = nn.ModuleList()
        for _ in range(depth):
            attention = PerceiverAttention(vision_dim, num_heads, head_dim)
            self.layers.append(nn.ModuleList([attention, feed_forward(vision_dim, ffn_dim)]))
        self.norm = nn.LayerNorm(vision_dim)
        self.text_projection = None
        if conditioning != "none":
            self.text_projection = nn.Sequential(
                nn.Linear(text_dim, vision_dim, bias=False), nn.LayerNorm(vision_dim)
            )
        self.language_projection = nn.Linear(vision_dim, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_queries} {self.text_dim}"]:
        """Read the patches into the latents. `text` is ignored if `conditioning` is "none".

        Raises:
            ValueError: if the bridge is conditioned and `text` is None.
        """
        latents = self.latents.expand(len(patches), -1, -1)
        words = mask = None
        if self.text_projection is not None:
            words, word_mask = require_question(text, text_mask, self.conditioning)
            words = self.text_projection(words).to(patches.dtype)
            unmasked = word_mask.new_ones(len(word_mask), patches.shape[1] + self.num_queries)
            mask = torch.cat([unmasked, word_mask], dim=1)
        for block in self.layers:
            attention, ffn = cast(nn.ModuleList, block)
            latents = latents + attention(patches, latents, words, mask)
            latents = latents + ffn(latents)
        return self.language_projection(self.norm(latents))
