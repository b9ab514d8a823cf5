"""Scaled dot-product attention as all bridges compute it, and access to its weights over the patches."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

_collected: list[Tensor] | None = None


@contextmanager
def attention_over_patches() -> Iterator[list[Tensor]]:
    """Collect attention weights over patches, one tensor [batch, head, query, patch] per call of `attend`.

    For inspection only, since it is slower. A query's weights sum to less than 1 if it also attends to words or latents.
    """
    global _collected
    outer, _collected = _collected, []
    try:
        yield _collected
    finally:
        _collected = outer


def collected_weights() -> list[Tensor] | None:
    """Return the list that `attention_over_patches` collects into; None outside it. For attention other than `attend`."""
    return _collected


def in_projections(attention: nn.MultiheadAttention) -> list[tuple[Tensor, Tensor]]:
    """Return the weight and bias that project queries, keys and values of torch's attention layer, in this order.

    Bridges whose authors use that layer keep it for its parameters, names and initialization, and call `attend`.
    """
    return list(zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True))


def attend(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch group key dim"],
    v: Float[Tensor, "batch group key dim"],
    mask: Bool[Tensor, "batch key"] | Bool[Tensor, "batch query key"] | None = None,
    dropout: float = 0.0,
    patches: int = 0,
    scale: float | None = None,
) -> Float[Tensor, "batch head query dim"]:
    r"""Return $\mathrm{softmax}(Q K^\top / \sqrt{d}) V$, where several heads share each group's keys and values.

    Grouped-query attention (GQA, arXiv:2305.13245). The heads of a group are stacked along the query axis, so keys and
    values are never repeated. On a GPU this is `scaled_dot_product_attention`. On a CPU it is plain matrix products: with
    few queries torch's kernel takes several times as long there in bfloat16, and no less in float32 at the published
    sizes.

    Args:
        q: queries by head.
        k: keys by group of heads.
        v: values by group of heads.
        mask: true where a key may be read, by all queries of an example or by each.
        dropout: probability of dropping an attention weight.
        patches: how many keys, from the first on, are patches; only `attention_over_patches` reads it.
        scale: of the scores, 1 for queries that are scaled already; None for $1 / \sqrt{d}$.
    """
    groups, shape = k.shape[1], q.shape
    q = q.reshape(shape[0], groups, -1, shape[3])
    key_mask = mask
    if mask is not None:
        by_query = mask[:, None] if mask.ndim == 2 else mask.repeat(1, shape[1] // groups, 1)
        key_mask = by_query[:, None]
    collected = _collected if patches else None
    if q.is_cuda and collected is None:
        mixed = F.scaled_dot_product_attention(q, k, v, key_mask, dropout, scale=scale)
    else:
        scaled = q if scale == 1 else (shape[3] ** -0.5 if scale is None else scale) * q
        scores = scaled @ k.transpose(-1, -2)
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if collected is not None:
            collected.append(weights.reshape(*shape[:3], -1)[..., :patches])
        mixed = (F.dropout(weights, dropout) if dropout else weights) @ v
    return mixed.reshape(shape)


def cast_for_matmul(x: Tensor) -> Tensor:
    """Cast x once to autocast's dtype if autocast is on, where each of several linear layers would cast it again."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
