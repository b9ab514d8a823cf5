"""Attention, as every bridge that has any computes it: by the fastest way that the device has."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

_watching: list[Tensor] | None = None


@contextmanager
def watched() -> Iterator[list[Tensor]]:
    """What patches are given of all attention while this is entered: [batch, head, query, patch] each time a bridge looks at them.

    For looking at, one at a time: it is slower, and where a query also attends to words or latents its weights sum to less than 1.
    """
    global _watching
    before, _watching = _watching, []
    try:
        yield _watching
    finally:
        _watching = before


def attend(
    q: Float[Tensor, "batch head query dim"],
    k: Float[Tensor, "batch group key dim"],
    v: Float[Tensor, "batch group key dim"],
    mask: Bool[Tensor, "batch key"] | None = None,
    dropout: float = 0.0,
    patches: int = 0,
) -> Float[Tensor, "batch head query dim"]:
    r"""$\mathrm{softmax}(Q K^\top / \sqrt{d}) V$, where each group's keys and values serve as many heads (GQA, arXiv:2305.13245).

    A group's heads are laid behind one another as so many more queries, so keys and values are never repeated. On a GPU it is
    `scaled_dot_product_attention`; on a CPU plain products, since there with few queries that takes several times as long in
    bfloat16, and in float32 no less at the published sizes.

    Args:
        mask: true where a key may be read.
        dropout: of attention weights.
        patches: how many of the keys, from the first on, are patches: for `watched` alone.
    """
    groups, shape = k.shape[1], q.shape
    q = q.reshape(shape[0], groups, -1, shape[3])
    real = None if mask is None else mask[:, None, None, :]
    watching = _watching if patches else None
    if q.is_cuda and watching is None:
        mixed = F.scaled_dot_product_attention(q, k, v, real, dropout)
    else:
        scores = (shape[3] ** -0.5 * q) @ k.transpose(-1, -2)
        if real is not None:
            scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if watching is not None:
            watching.append(weights.reshape(*shape[:3], -1)[..., :patches])
        mixed = (F.dropout(weights, dropout) if dropout else weights) @ v
    return mixed.reshape(shape)


def absorbing_pays(queries: int, keys: int, head_dim: int, channels: int) -> bool:
    """Whether `attend_absorbed` multiplies less than keys, values and `attend`: about where queries are fewer than a head's channels.

    It does sooner where queries are the same for all images, which is not reckoned with.
    """
    return queries * channels * (head_dim + keys) < keys * head_dim * (channels + queries)


def attend_absorbed(
    q: Float[Tensor, "#batch query width"],
    key: tuple[Float[Tensor, "width channel"], Float[Tensor, " width"]],
    value: tuple[Float[Tensor, "width channel"], Float[Tensor, " width"]],
    x: Float[Tensor, "batch key channel"],
    num_heads: int,
) -> Float[Tensor, "batch query width"]:
    r"""Attention to $K = x W_k^\top + b_k$ and $V = x W_v^\top + b_v$, by heads, where neither is made.

    $Q K^\top = (Q W_k) x^\top + Q b_k$ and $A V = (A x) W_v^\top + b_v$, since the weights $A$ of a query sum to one: fewer products
    where a head has fewer queries than channels. Source: DeepSeek-V2, arXiv:2405.04434, where the same saves a decoder's cache.

    Args:
        q: queries, heads side by side; with a batch of one they are the same for every x.
        key: weight and bias that make keys.
        value: those that make values.
        x: what keys and values are linear in.
    """
    batch, queries, width = q.shape
    by_head = (num_heads, width // num_heads)
    own = by_head[1] ** -0.5 * q
    own = own.unflatten(-1, by_head).permute(2, 0, 1, 3).flatten(1, 2)  # [head, batch * query, dim]
    asked = own @ key[0].unflatten(0, by_head)
    even = own @ key[1].unflatten(0, by_head)[..., None]  # moves no weight, but its gradient must be there
    if batch == 1:
        scores = F.linear(x, asked.flatten(0, 1), even.flatten()).transpose(1, 2)
    else:
        asked, even = (
            part.unflatten(1, (batch, queries)).transpose(0, 1).flatten(1, 2) for part in (asked, even)
        )
        scores = torch.baddbmm(even, asked, x.transpose(1, 2))
    weights = scores.softmax(dim=-1)  # [batch, head * query, key]
    if _watching is not None:
        _watching.append(weights.unflatten(1, (num_heads, queries)))
    mixed = (weights @ x).unflatten(1, (num_heads, queries)).transpose(0, 1).flatten(1, 2)
    told = mixed @ value[0].unflatten(0, by_head).transpose(1, 2)
    return told.unflatten(1, (len(x), queries)).permute(1, 2, 0, 3).flatten(2) + for_products(value[1])


def for_products(x: Tensor) -> Tensor:
    """What several linear layers read: converted once, where autocast would convert it for each of them."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
