"""The Q-Former of BLIP-2: a small BERT over learned queries that cross-attend to the patches."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.attention import absorbing_pays, attend, attend_absorbed, for_products
from bridgelab.bridge.conditioning import check_conditioning, question
from bridgelab.bridge.fold import folded, standardized

EPS = 1e-12  # BERT's; it makes zero queries a trap, see QFormer


class Attention(nn.Module):
    r"""Multi-head attention with biases: $\mathrm{softmax}(Q K^\top / \sqrt{d}) V$, heads side by side."""

    def __init__(self, width: int, context_dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_dim, width)
        self.value = nn.Linear(context_dim, width)
        self.dropout = dropout

    def forward(
        self,
        hidden: Float[Tensor, "#batch query width"],
        context: Float[Tensor, "batch key context_dim"],
        mask: Bool[Tensor, "batch key"] | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> Float[Tensor, "batch query width"]:
        """Queries of `hidden` attend to `context`: to itself, or, with a `norm`, to patches which that norm would have scaled."""
        own, dropout, patches = for_products(hidden), self.dropout if self.training else 0.0, 0
        # One product for all three, where the weights copied together for it are fewer than what they multiply.
        together = context is hidden and own.shape[:2].numel() >= len(self.query.weight)
        if together:
            makers = (self.query, self.key, self.value)
            weight, bias = (
                torch.cat([getattr(maker, name) for maker in makers]) for name in ("weight", "bias")
            )
            query, key, value = F.linear(own, weight, bias).chunk(3, dim=-1)
        elif norm is None:
            context = own if context is hidden else for_products(context)
            query, key, value = self.query(own), self.key(context), self.value(context)
        else:
            query = self.query(own)
            patches, to_key, to_value = context.shape[1], folded(norm, self.key), folded(norm, self.value)
            if mask is None and self.absorbs(query, context, dropout):
                return attend_absorbed(query, to_key, to_value, context, self.num_heads)
            key, value = F.linear(context, *to_key), F.linear(context, *to_value)
        query = query.expand(len(context), -1, -1)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value))
        return attend(q, k, v, mask, dropout, patches).transpose(1, 2).flatten(2)

    def absorbs(self, query: Tensor, context: Tensor, dropout: float) -> bool:
        """Whether keys and values of the patches need not be made; on a GPU they feed its fused attention."""
        dim, (_, patches, channels) = query.shape[-1] // self.num_heads, context.shape
        return not (dropout or query.is_cuda) and absorbing_pays(query.shape[1], patches, dim, channels)


class Output(nn.Module):
    """The end of every sublayer of a post-norm transformer: project, add what came in, normalise."""

    def __init__(self, in_dim: int, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(in_dim, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Float[Tensor, "batch token in_dim"], residual: Float[Tensor, "#batch token width"]
    ) -> Float[Tensor, "batch token width"]:
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class AttentionBlock(nn.Module):
    """Attention to `context`, then `Output`."""

    def __init__(self, width: int, context_dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, context_dim, num_heads, dropout)
        self.output = Output(width, width, dropout)

    def forward(
        self,
        hidden: Float[Tensor, "#batch query width"],
        context: Float[Tensor, "batch key context_dim"],
        mask: Bool[Tensor, "batch key"] | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> Float[Tensor, "batch query width"]:
        return self.output(self.attention(hidden, context, mask, norm), hidden)


class FeedForward(nn.Module):
    """Linear → GELU (erf) → `Output`."""

    def __init__(self, width: int, ffn_width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width, ffn_width)
        self.output = Output(ffn_width, width, dropout)

    def forward(self, hidden: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        return self.output(F.gelu(self.dense(hidden)), hidden)


class Layer(nn.Module):
    """One layer: self-attention over [queries; text], cross-attention of the queries, an FFN for each.

    Args:
        cross_attention: whether this layer looks at the patches.
        text: whether text stands behind the queries; it then has an FFN of its own.
    """

    def __init__(
        self,
        width: int,
        vision_dim: int,
        num_heads: int,
        ffn_width: int,
        dropout: float,
        *,
        cross_attention: bool,
        text: bool,
    ):
        super().__init__()
        self.attention = AttentionBlock(width, width, num_heads, dropout)
        self.crossattention = None
        if cross_attention:
            self.crossattention = AttentionBlock(width, vision_dim, num_heads, dropout)
        self.ffn_query = FeedForward(width, ffn_width, dropout)
        self.ffn_text = FeedForward(width, ffn_width, dropout) if text else None

    def forward(
        self,
        hidden: Float[Tensor, "#batch token width"],
        patches: Float[Tensor, "batch patch vision_dim"],
        norm: nn.LayerNorm,
        num_queries: int,
        mask: Bool[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch carried width"]:
        # Behind the last text FFN nobody reads the words: there only the queries are carried on.
        drops_words = self.ffn_text is None and hidden.shape[1] > num_queries
        hidden = self.attention(hidden[:, :num_queries] if drops_words else hidden, hidden, mask)
        queries, words = hidden[:, :num_queries], hidden[:, num_queries:]
        if self.crossattention is not None:
            queries = self.crossattention(queries, patches, norm=norm)
        queries = self.ffn_query(queries)
        return queries if self.ffn_text is None else torch.cat([queries, self.ffn_text(words)], dim=1)


class QFormer(nn.Module):
    r"""Compress any number of patches into `num_queries` tokens with a small BERT over learned queries.

    At entry $q \leftarrow \mathrm{LN}(q)$, with a question $[q; w] \leftarrow \mathrm{LN}([q; w])$ where $w$ are its words, which
    then take part in self-attention and have FFNs of their own. Per layer, $q \leftarrow \mathrm{LN}(q + \mathrm{SelfAttn}(q))$;
    in layers 0, n, 2n, ... $q \leftarrow \mathrm{LN}(q + \mathrm{CrossAttn}(q, \mathrm{LN}_v(x)))$;
    $q \leftarrow \mathrm{LN}(q + \mathrm{FFN}(q))$. At the end $t = q W + b$.

    Source: BLIP-2, Li et al. 2023, arXiv:2301.12597 (12 layers of width 768, 12 heads, FFN 3072, 32 queries); with a
    question InstructBLIP, Dai et al. 2023, arXiv:2305.06500. Differs: the words are the frozen T5's, through one linear layer
    to `width`, and not BERT's; the last layer has no text FFN, since nothing reads what it would make.
    Differs: trained from scratch and not from BERT, with BERT's init: standard deviation 0.02 at width 768,
    scaled by $\sqrt{768 / \text{width}}$ elsewhere, so that activations are as large in a small Q-Former as
    in the published one. Dropout is off unless asked for. Queries start as $\mathcal{N}(0, 0.02^2)$: equal
    ones would stay equal for ever, and zeros have a huge first gradient through a LayerNorm with eps 1e-12.

    Keys of transformers' `Blip2ForConditionalGeneration` → ours; names not listed are unchanged:
    `vision_model.post_layernorm` → `ln_vision`; `qformer.layernorm` → `layernorm`;
    `qformer.encoder.layer.{i}` → `layer.{i}`, and in it
    `intermediate_query.dense`, `output_query` → `ffn_query.dense`, `ffn_query.output`;
    `intermediate.dense`, `output` → `ffn_text.dense`, `ffn_text.output`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        num_queries: learned queries, and so tokens.
        depth: layers.
        width: channels of one query.
        num_heads: attention heads; must divide `width`.
        cross_attention_every: layers 0, n, 2n, ... look at the patches.
        ffn_ratio: hidden width of the FFN over `width`.
        dropout: of attention weights and before every residual sum (published: 0.1).
        query_gain: factor on the initial weights that make queries of the patches (published: 1, where attention
            begins near uniform, so that every query reads the mean patch).
        conditioning: "none": queries do not see the question; "question": they do; "mismatched": they are given
            another example's.
    Raises:
        ValueError: if a count is less than 1, `num_heads` does not divide `width`, `dropout` is not in [0, 1),
            `query_gain` is not above 0 or `conditioning` is not one of the above.
    """

    sized_by = "width"
    paper = "BLIP-2, arXiv:2301.12597"
    code_licence = "BSD-3-Clause"

    def __init__(
        self,
        vision_dim: int,
        text_dim: int,
        *,
        num_queries: int,
        depth: int,
        width: int,
        num_heads: int,
        cross_attention_every: int = 2,
        ffn_ratio: int = 4,
        dropout: float = 0.0,
        query_gain: float = 1.0,
        conditioning: str = "none",
    ):
        super().__init__()
        counts = {"num_queries": num_queries, "depth": depth, "width": width, "num_heads": num_heads}
        counts |= {"cross_attention_every": cross_attention_every, "ffn_ratio": ffn_ratio}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name}={value} is less than 1. Set bridge.{name} to a positive number.")
        if width % num_heads:
            choices = [n for n in range(1, width + 1) if width % n == 0]
            raise ValueError(
                f"num_heads={num_heads} does not divide width={width}. "
                f"Set bridge.num_heads to one of {choices}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout={dropout} is not in [0, 1). Set bridge.dropout to 0 or, as published, to 0.1."
            )
        if query_gain <= 0:
            raise ValueError(
                f"query_gain={query_gain} is not above 0. Set bridge.query_gain to 1, as published, or more."
            )
        check_conditioning(conditioning)
        self.vision_dim, self.text_dim, self.num_queries = vision_dim, text_dim, num_queries
        self.conditioning = conditioning
        self.query_tokens = nn.Parameter(0.02 * torch.randn(1, num_queries, width))
        # BLIP-2 trains this norm with the Q-Former in place of the ViT's last; eps as transformers has it.
        self.ln_vision = nn.LayerNorm(vision_dim, eps=1e-6)
        self.layernorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.ModuleList(
            Layer(
                width,
                vision_dim,
                num_heads,
                ffn_ratio * width,
                dropout,
                cross_attention=i % cross_attention_every == 0,
                text=conditioning != "none" and i < depth - 1,
            )
            for i in range(depth)
        )
        for module in self.layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02 * math.sqrt(768 / width))
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            for name, p in self.layer.named_parameters():
                if name.endswith("crossattention.attention.query.weight"):
                    p.mul_(query_gain)
        self.text_projection = None
        if conditioning != "none":
            self.text_projection = nn.Linear(text_dim, width, bias=False)
        self.language_projection = nn.Linear(width, text_dim)

    def forward(
        self,
        patches: Float[Tensor, "batch patch {self.vision_dim}"],
        text: Float[Tensor, "batch word {self.text_dim}"] | None = None,
        text_mask: Shaped[Tensor, "batch word"] | None = None,
    ) -> Float[Tensor, "batch {self.num_queries} {self.text_dim}"]:
        """Read the patches into the queries; `text` is not read while `conditioning` is "none".

        Raises:
            ValueError: if the bridge is conditioned and there is no `text`.
        """
        patches, mask = for_products(standardized(patches, self.ln_vision)), None
        if self.text_projection is None:
            hidden = self.layernorm(self.query_tokens)
            # Until they first look at the patches, queries are the same for every image, but for dropout.
            if self.training and self.dropout.p:
                hidden = hidden.expand(len(patches), -1, -1)
            hidden = self.dropout(hidden)
        else:
            words, real = question(text, text_mask, self.conditioning)
            queries = self.query_tokens.expand(len(patches), -1, -1)
            hidden = torch.cat([queries, self.text_projection(words).to(queries.dtype)], dim=1)
            hidden = self.dropout(self.layernorm(hidden))
            mask = torch.cat([real.new_ones(len(real), self.num_queries), real], dim=1)
        for layer in self.layer:
            hidden = layer(hidden, patches, self.ln_vision, self.num_queries, mask)
        return self.language_projection(hidden)
