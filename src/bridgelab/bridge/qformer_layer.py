"""A layer of the Q-Former: self-attention, cross-attention to the patches, and FFNs for queries and words."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.attention import attend, cast_for_matmul
from bridgelab.bridge.fold_norm import fold_norm

EPS = 1e-12  # BERT's; so small that zero queries would have huge gradients, see `QFormer`


class KeysValues(NamedTuple):
    """The patches as one layer's cross-attention reads them.

    Args:
        key: [batch, patch, width].
        value: [batch, patch, width].
    """

    key: Tensor
    value: Tensor

    def of(self, images: Tensor) -> "KeysValues":
        """Return keys and values of some images, each as often as it is named."""
        return KeysValues(self.key[images], self.value[images])


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
        context: Float[Tensor, "batch key context_dim"] | KeysValues,
        mask: Bool[Tensor, "batch key"] | Bool[Tensor, "batch query key"] | None = None,
    ) -> Float[Tensor, "batch query width"]:
        """Attend from `hidden` to `context`.

        Args:
            hidden: queries; a batch of one stands for all images.
            context: tokens, or patches as `keys_values` returns them.
            mask: true where a key may be read, by all queries of an example or by each.
        """
        patches = 0
        if isinstance(context, KeysValues):
            query, (key, value) = self.query(cast_for_matmul(hidden)), context
            patches = key.shape[1]
        elif context is hidden and hidden.shape[:2].numel() >= len(self.query.weight):
            query, key, value = self._project_jointly(hidden)
        else:
            query, key, value = self._project_separately(hidden, context)
        query = query.expand(len(key), -1, -1)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        return attend(q, k, v, mask, dropout, patches).transpose(1, 2).flatten(2)

    def keys_values(
        self, patches: Float[Tensor, "batch patch context_dim"], norm: nn.LayerNorm
    ) -> KeysValues:
        """Return keys and values of patches that are standardized, with the gain and bias of `norm` folded into the layers."""
        return KeysValues(*(F.linear(patches, *fold_norm(norm, layer)) for layer in (self.key, self.value)))

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
        context: Float[Tensor, "batch key context_dim"] | KeysValues,
        mask: Bool[Tensor, "batch key"] | Bool[Tensor, "batch query key"] | None = None,
    ) -> Float[Tensor, "batch query width"]:
        return self.output(self.attention(hidden, context, mask), hidden)


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

    def add_text_ffn(self) -> None:
        """Add an FFN for words, of the queries' sizes."""
        dense, dropout = self.ffn_query.dense, self.ffn_query.output.dropout.p
        self.ffn_text = FeedForward(dense.in_features, dense.out_features, dropout)
        init_linears(self.ffn_text, dense.in_features)

    def project_patches(
        self, patches: Float[Tensor, "batch patch vision_dim"], norm: nn.LayerNorm
    ) -> KeysValues | None:
        """Return standardized patches as this layer's cross-attention reads them; None if it has none."""
        if self.crossattention is None:
            return None
        return self.crossattention.attention.keys_values(patches, norm)

    def forward(
        self,
        hidden: Float[Tensor, "#batch token width"],
        patch_kv: KeysValues | None,
        num_queries: int,
        mask: Bool[Tensor, "batch token"] | Bool[Tensor, "batch token token"] | None = None,
        *,
        keep_words: bool = True,
    ) -> Float[Tensor, "batch kept width"]:
        """Return [queries; words], or the queries alone if there is no text FFN or `keep_words` is false."""
        keep_words = keep_words and self.ffn_text is not None
        has_words = hidden.shape[1] > num_queries
        hidden = self.attention(
            hidden[:, :num_queries] if has_words and not keep_words else hidden, hidden, mask
        )
        queries, words = hidden[:, :num_queries], hidden[:, num_queries:]
        if num_queries:
            if self.crossattention is not None and patch_kv is not None:
                queries = self.crossattention(queries, patch_kv)
            queries = self.ffn_query(queries)
        if self.ffn_text is None or not (has_words and keep_words):
            return queries
        words = self.ffn_text(words)
        return torch.cat([queries, words], dim=1) if num_queries else words


def init_linears(module: nn.Module, width: int) -> None:
    """Draw the weights of linear layers as BERT does, scaled by width, and set their biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02 * math.sqrt(768 / width))
            nn.init.zeros_(layer.bias)
