"""Idefics2's connector: an MLP to the language model's width, then a resampler with grouped-query attention."""

from typing import cast

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import attend, cast_for_matmul
from bridgelab.bridge.conditioning import check_conditioning, require_question
from bridgelab.bridge.rms_norm import RMSNorm, rms_normalize


class GatedMLP(nn.Module):
    r"""$W_d(\mathrm{SiLU}(W_g x) \odot W_u x)$ without biases (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int):
        super().__init__()
        self.gate_proj = nn.Linear(in_dim, hidden_dim, bias=False)
        self.up_proj = nn.Linear(in_dim, hidden_dim, bias=False)
        self.down_proj = nn.Linear(hidden_dim, out_dim, bias=False)

    def forward(self, x: Float[Tensor, "batch token in_dim"]) -> Float[Tensor, "batch token out_dim"]:
        x = cast_for_matmul(x)
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class GroupedAttention(nn.Module):
    """Attention from the latents to patches, words and latents together, without biases.

    Each head of keys and values serves a group of query heads (GQA, arXiv:2305.13245).
    """

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int, head_dim: int):
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(dim, num_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(dim, num_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, dim, bias=False)

    def forward(
        self,
        latents: Float[Tensor, "#batch query dim"],
        keys: Float[Tensor, "batch key kv"],
        values: Float[Tensor, "batch key kv"],
        mask: Bool[Tensor, "batch all"] | None = None,
        patches: int = 0,
    ) -> Float[Tensor, "batch query dim"]:
        """Attend to keys and values of the patches and words, then of the latents themselves."""
        latents = cast_for_matmul(latents)
        query, latent_keys, latent_values = (
            project(latents).expand(len(keys), -1, -1) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        keys, values = torch.cat([keys, latent_keys], dim=1), torch.cat([values, latent_values], dim=1)
        q, k, v = (x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for x in (query, keys, values))
        return self.o_proj(attend(q, k, v, mask, patches=patches).transpose(1, 2).flatten(2))


class ResamplerLayer(nn.Module):
    """Grouped-query attention, then a gated MLP, both pre-norm with residuals."""

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int, head_dim: int, ffn_dim: int, eps: float):
        super().__init__()
        self.input_latents_norm = RMSNorm(dim, eps=eps)
        self.input_context_norm = RMSNorm(dim, eps=eps)
        self.self_attn = GroupedAttention(dim, num_heads, num_kv_heads, head_dim)
        self.post_attention_layernorm = RMSNorm(dim, eps=eps)
        self.mlp = GatedMLP(dim, ffn_dim, dim)

    def forward(
        self,
        latents: Float[Tensor, "#batch query dim"],
        keys: Float[Tensor, "batch key kv"],
        values: Float[Tensor, "batch key kv"],
        mask: Bool[Tensor, "batch all"] | None = None,
        patches: int = 0,
    ) -> Float[Tensor, "batch query dim"]:
        latents = latents + self.self_attn(self.input_latents_norm(latents), keys, values, mask, patches)
        return latents + self.mlp(self.post_attention_layernorm(latents))


class Resampler(nn.Module):
    """Learned latents that read the patches at one width. Latents start as N(0, 1), so no two are equal."""

    def __init__(
        self,
        dim: int,
        *,
        num_queries: int,
        depth: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        ffn_dim: int,
        eps: float,
    ):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(num_queries, dim))
        self.layers = nn.ModuleList(
            ResamplerLayer(dim, num_heads, num_kv_heads, head_dim, ffn_dim, eps) for _ in range(depth)
        )
        self.norm = RMSNorm(dim, eps=eps)
        self.eps = eps

    def forward(
        self,
        context: Float[Tensor, "batch key dim"],
        mask: Bool[Tensor, "batch all"] | None = None,
        patches: int = 0,
    ) -> Float[Tensor, "batch query dim"]:
        layers = [cast(ResamplerLayer, layer) for layer in self.layers]
        # All layers normalise the same context with norms that differ only in their weights. So the weights are folded into the
        # projections, and one matrix product gives the keys and values of all layers.
        weights = [
            projection.weight * layer.input_context_norm.weight
            for layer in layers
            for projection in (layer.self_attn.k_proj, layer.self_attn.v_proj)
        ]
        projected = F.linear(rms_normalize(context, None, self.eps), torch.cat(weights)).chunk(
            len(weights), -1
        )
        latents = self.latents[None]  # a batch of one until they first attend to the images
        for layer, keys, values in zip(layers, projected[::2], projected[1::2], strict=True):
            latents = layer(latents, keys, values, mask, patches)
        return self.norm(latents)


class Idefics2Perceiver(nn.Module):
    r"""Compress any number of patches into `num_queries` tokens, at the width of the language model.

    $c = \mathrm{GLU}(x)$ maps patches to `text_dim`; then per layer $q \leftarrow q + \mathrm{Attn}(\hat q, [\hat c; \hat q])$ and
    $q \leftarrow q + \mathrm{GLU}(\hat q)$, where a hat is an RMSNorm.
    Source: Idefics2, Laurençon et al. 2024, arXiv:2405.02246: 64 latents, depth 3, 16 heads of 96, 4 of keys and values.
    Differs: latents start as N(0, 1), not as ones, which would all stay equal; with conditioning, the question's words,
    from the frozen T5 through one linear layer, follow the patches.
    Published keys: `model.connector.{modality_projection,perceiver_resampler}`, the same below.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding, and the resampler's width.
        num_queries: number of latents, and so of tokens.
        depth: number of layers.
        num_heads: heads of queries.
        num_kv_heads: heads of keys and values; must divide `num_heads`.
        head_dim: channels of one head.
        hidden_dim: hidden width of the projection from `vision_dim`; None means four times `text_dim`.
        ffn_dim: hidden width of the gated MLPs; None means four times `text_dim`, as published.
        eps: epsilon of the norms.
        conditioning: whether latents see the question; one of `conditioning.CONDITIONING`.
    Raises:
        ValueError: if a count is less than 1, `num_kv_heads` does not divide `num_heads`, or `conditioning` is unknown.
    """

    sized_by = "ffn_dim"
    paper = "Idefics2, arXiv:2405.02246"
    code_licence = "Apache-2.0, transformers"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        num_queries: int,
        depth: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        hidden_dim: int | None = None,
        ffn_dim: int | None = None,
        eps: float = 1e-6,
        conditioning: str = "none",
    ):
        super().__init__()
        check_conditioning(conditioning)
        ffn_dim = 4 * text_dim if ffn_dim is None else ffn_dim
        hidden_dim = 4 * text_dim if hidden_dim is None else hidden_dim
        require_positive(num_queries=num_queries, depth=depth, num_heads=num_heads, num_kv_heads=num_kv_heads)
        require_positive(head_dim=head_dim, hidden_dim=hidden_dim, ffn_dim=ffn_dim)
        require_divisor("num_kv_heads", num_kv_heads, "num_heads", num_heads)
        self.vision_dim, self.text_dim, self.num_queries = vision_dim, text_dim, num_queries
        self.conditioning = conditioning
        self.text_projection = None
        if conditioning != "none":
            self.text_projection = nn.Linear(text_dim, text_dim, bias=False)
        self.modality_projection = GatedMLP(vision_dim, hidden_dim, text_dim)
        self.perceiver_resampler = Resampler(
            text_dim,
            num_queries=num_queries,
            depth=depth,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            ffn_dim=ffn_dim,
            eps=eps,
        )

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_queries} {self.text_dim}"]:
        """Project, then read the patches into the latents. `text` is ignored if `conditioning` is "none".

        Raises:
            ValueError: if the bridge is conditioned and `text` is None.
        """
        context, mask = self.modality_projection(patches), None
        if self.text_projection is not None:
            words, word_mask = require_question(text, text_mask, self.conditioning)
            context = torch.cat([context, self.text_projection(words).to(context.dtype)], dim=1)
            counts = (patches.shape[1], self.num_queries)
            patch_mask, latent_mask = (word_mask.new_ones(len(word_mask), count) for count in counts)
            mask = torch.cat([patch_mask, word_mask, latent_mask], dim=1)
        return self.perceiver_resampler(context, mask, patches.shape[1])
