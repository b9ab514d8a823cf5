"""The Q-Former of BLIP-2: a small BERT over learned queries that cross-attend to the patches."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.argument_checks import require_divisor, require_positive
from bridgelab.bridge.attention import attend, cast_for_matmul
from bridgelab.bridge.conditioning import check_conditioning, require_question
from bridgelab.bridge.fold_norm import fold_norm, standardize

EPS = 1e-12  # BERT's; so small that zero queries would have huge gradients, see QFormer


class Attention(nn.Module):
    r"""Multi-head attention with biases, $\mathrm{softmax}(Q K^\top / \sqrt{d}) V$, over the tokens or over the patches.

    Args:
        width: channels of a query and of the output.
        context_dim: channels of what is attended to.
        num_heads: attention heads.
        dropout: of attention weights, in training.
    """

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
        """Attend from `hidden` to `context`.

        Args:
            hidden: queries; a batch of one stands for all images.
            context: tokens, or with `norm` patches that are standardized but not yet scaled and shifted by it.
            mask: true where a key may be read.
            norm: the patches' norm, None for tokens.
        """
        if norm is not None:
            query, key, value = self._project_patches(hidden, context, norm)
        elif context is hidden and hidden.shape[:2].numel() >= len(self.query.weight):
            query, key, value = self._project_jointly(hidden)
        else:
            query, key, value = self._project_separately(hidden, context)
        query = query.expand(len(context), -1, -1)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        patches = 0 if norm is None else context.shape[1]
        return attend(q, k, v, mask, dropout, patches).transpose(1, 2).flatten(2)

    def _project_jointly(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values of the same tokens by one matrix product.

        It copies all weights into one matrix, which pays if the tokens of a batch outnumber its rows.
        """
        layers = (self.query, self.key, self.value)
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        return F.linear(cast_for_matmul(hidden), weight, bias).chunk(3, dim=-1)

    def _project_separately(self, hidden: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """Return queries of `hidden`, keys and values of `context`."""
        queries = cast_for_matmul(hidden)
        context = queries if context is hidden else cast_for_matmul(context)
        return self.query(queries), self.key(context), self.value(context)

    def _project_patches(self, hidden: Tensor, patches: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, ...]:
        """Return queries of `hidden`, keys and values of standardized patches, with the norm folded into the layers."""
        key, value = (F.linear(patches, *fold_norm(norm, layer)) for layer in (self.key, self.value))
        return self.query(cast_for_matmul(hidden)), key, value


class Output(nn.Module):
    """The end of a post-norm sublayer: project, add the residual, normalise."""

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
    """`Attention`, then `Output`."""

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
    """One layer: self-attention over [queries; words], cross-attention from the queries to the patches, FFNs.

    Args:
        width: channels of one token.
        vision_dim: channels of one patch.
        num_heads: attention heads.
        ffn_width: hidden width of the FFNs.
        dropout: of attention weights and before every residual sum.
        cross_attention: whether this layer attends to the patches.
        text: whether the layer passes words on; they have an FFN of their own.
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
    ) -> Float[Tensor, "batch kept width"]:
        # Nothing reads the words behind the last text FFN, so only the queries are kept there.
        drops_words = self.ffn_text is None and hidden.shape[1] > num_queries
        hidden = self.attention(hidden[:, :num_queries] if drops_words else hidden, hidden, mask)
        queries, words = hidden[:, :num_queries], hidden[:, num_queries:]
        if self.crossattention is not None:
            queries = self.crossattention(queries, patches, norm=norm)
        queries = self.ffn_query(queries)
        return queries if self.ffn_text is None else torch.cat([queries, self.ffn_text(words)], dim=1)


class QFormer(nn.Module):
    r"""Compress any number of patches into `num_queries` tokens with a small BERT over learned queries.

    At entry $q \leftarrow \mathrm{LN}(q)$; with a question $[q; w] \leftarrow \mathrm{LN}([q; w])$, where $w$ are its words, which
    take part in self-attention and have FFNs of their own. Per layer, $q \leftarrow \mathrm{LN}(q + \mathrm{SelfAttn}(q))$;
    in layers 0, n, 2n, ... $q \leftarrow \mathrm{LN}(q + \mathrm{CrossAttn}(q, \mathrm{LN}_v(x)))$;
    $q \leftarrow \mathrm{LN}(q + \mathrm{FFN}(q))$. At the end $t = q W + b$.

    Source: BLIP-2, Li et al. 2023, arXiv:2301.12597 (12 layers of width 768, 12 heads, FFN 3072, 32 queries); with a
    question InstructBLIP, Dai et al. 2023, arXiv:2305.06500. Differs: the words are the frozen T5's, through one linear
    layer to `width`, not BERT's; the last layer has no text FFN, since nothing reads its output.
    Differs: trained from scratch, not from BERT, with BERT's init: standard deviation 0.02 at width 768, scaled by
    $\sqrt{768 / \text{width}}$ at other widths, so that activations are as large in a small Q-Former as in the published
    one. Dropout is off by default. Queries start as $\mathcal{N}(0, 0.02^2)$: equal queries would stay equal, and zero
    queries have a huge first gradient through a LayerNorm with eps 1e-12.

    Keys of transformers' `Blip2ForConditionalGeneration` → ours; names not listed are unchanged:
    `vision_model.post_layernorm` → `ln_vision`; `qformer.layernorm` → `layernorm`;
    `qformer.encoder.layer.{i}` → `layer.{i}`, and in it
    `intermediate_query.dense`, `output_query` → `ffn_query.dense`, `ffn_query.output`;
    `intermediate.dense`, `output` → `ffn_text.dense`, `ffn_text.output`.

    Args:
        vision_dim: channels of one patch.
        text_dim: channels of one word embedding.
        num_queries: number of learned queries, and so of tokens.
        depth: number of layers.
        width: channels of one query.
        num_heads: attention heads; must divide `width`.
        cross_attention_every: layers 0, n, 2n, ... attend to the patches.
        ffn_ratio: hidden width of the FFN over `width`.
        dropout: of attention weights and before every residual sum (published: 0.1).
        query_gain: factor on the initial query weights of cross-attention. Published is 1, where attention starts almost
            uniform, so that every query reads the mean patch.
        conditioning: whether queries see the question; one of `conditioning.CONDITIONING`.
    Raises:
        ValueError: if a count is less than 1, `num_heads` does not divide `width`, `dropout` is not in [0, 1),
            `query_gain` is not positive, or `conditioning` is unknown.
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
        require_positive(num_queries=num_queries, depth=depth, width=width, num_heads=num_heads)
        require_positive(cross_attention_every=cross_attention_every, ffn_ratio=ffn_ratio)
        require_divisor("num_heads", num_heads, "width", width)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout={dropout} is not in [0, 1). Set bridge.dropout to 0 or, as published, to 0.1."
            )
        if query_gain <= 0:
            raise ValueError(
                f"query_gain={query_gain} is not positive. Set bridge.query_gain to 1, as published, or more."
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
        """Read the patches into the queries. `text` is ignored if `conditioning` is "none".

        Raises:
            ValueError: if the bridge is conditioned and `text` is None.
        """
        patches, mask = cast_for_matmul(standardize(patches, self.ln_vision)), None
        if self.text_projection is None:
            hidden = self.layernorm(self.query_tokens)
            # Before cross-attention queries are the same for every image, except under dropout.
            if self.training and self.dropout.p:
                hidden = hidden.expand(len(patches), -1, -1)
            hidden = self.dropout(hidden)
        else:
            words, word_mask = require_question(text, text_mask, self.conditioning)
            queries = self.query_tokens.expand(len(patches), -1, -1)
            hidden = torch.cat([queries, self.text_projection(words).to(queries.dtype)], dim=1)
            hidden = self.dropout(self.layernorm(hidden))
            mask = torch.cat([word_mask.new_ones(len(word_mask), self.num_queries), word_mask], dim=1)
        for layer in self.layer:
            hidden = layer(hidden, patches, self.ln_vision, self.num_queries, mask)
        return self.language_projection(hidden)
