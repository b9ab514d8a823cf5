"""Gated cross-attention between the layers of a frozen language model, which reads a bridge's visual tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bridgelab.bridge.attention import attend, cast_for_matmul
from bridgelab.bridge.perceiver_idefics2 import GatedMLP
from bridgelab.bridge.rms_norm import RMSNorm, rms_normalize

STACKS = ("encoder", "decoder")
EPS = 1e-6  # of the norms, as in Idefics and T5

Keys = Float[Tensor, "batch head token channel"]


class CrossAttention(nn.Module):
    """Multi-head attention from positions of a text to visual tokens, without biases."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.head_dim = dim // num_heads
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def keys_and_values(self, tokens: Float[Tensor, "batch token dim"]) -> tuple[Keys, Keys]:
        """Return the keys and values of visual tokens, by head."""
        tokens = cast_for_matmul(tokens)
        return self._heads(self.k_proj(tokens)), self._heads(self.v_proj(tokens))

    def forward(
        self, hidden: Float[Tensor, "batch position dim"], keys: Keys, values: Keys
    ) -> Float[Tensor, "batch position dim"]:
        r"""Read visual tokens into positions that are scaled by $1 / \sqrt{d}$ already, for heads of $d$ channels."""
        query = self._heads(self.q_proj(cast_for_matmul(hidden)))
        # A text has more positions than a bridge has queries. In float32 torch's kernel is then faster on a CPU too; in bfloat16 it
        # takes twice the time of plain products there.
        kernel = F.scaled_dot_product_attention if query.dtype == torch.float32 else attend
        mixed = kernel(query, keys, values, scale=1.0)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class GatedCrossAttention(nn.Module):
    r"""Flamingo's GATED XATTN-DENSE: cross-attention to visual tokens and an FFN, each behind a learned gate.

    With $N$ an RMSNorm, $h \leftarrow h + \tanh(\alpha_1)\, \mathrm{Attn}(N(h), t)$, then
    $h \leftarrow h + \tanh(\alpha_2)\, \mathrm{GLU}(N(h))$. Both gates start at $\alpha = 0$, where $h$ passes unchanged.
    Source: Alayrac et al. 2022, arXiv:2204.14198, figure 4, in the form of Idefics v1 (arXiv:2306.16527), whose tensors have the
    same names. Differs from Flamingo, as Idefics does: RMSNorm for LayerNorm, and a gated SiLU for its FFN's activation.
    Differs from published Idefics v1: no norms of queries and keys (`qk_layer_norms`).

    Args:
        dim: channels of the text's positions and of the visual tokens.
        num_heads: attention heads; must divide `dim`.
        ffn_dim: hidden width of the FFN.
    """

    def __init__(self, dim: int, *, num_heads: int, ffn_dim: int):
        super().__init__()
        self.input_layernorm = RMSNorm(dim, eps=EPS)
        self.cross_attn = CrossAttention(dim, num_heads)
        self.post_attention_layernorm = RMSNorm(dim, eps=EPS)
        self.mlp = GatedMLP(dim, ffn_dim, dim)
        self.alpha_cross_attn = nn.Parameter(torch.zeros(1))
        self.alpha_dense = nn.Parameter(torch.zeros(1))

    def forward(
        self, hidden: Float[Tensor, "batch position dim"], keys: Keys, values: Keys
    ) -> Float[Tensor, "batch position dim"]:
        """Read visual tokens, given as `cross_attn.keys_and_values` of them, into the positions of a text."""
        # Queries alone read the first norm. Its weight carries the scale of their scores, which costs no pass over activations.
        weight = self.input_layernorm.weight * self.cross_attn.head_dim**-0.5
        read = self.cross_attn(rms_normalize(hidden, weight, EPS), keys, values)
        hidden = hidden + self.alpha_cross_attn.tanh() * read
        return hidden + self.alpha_dense.tanh() * self.mlp(self.post_attention_layernorm(hidden))


class CrossAttentionLayers(nn.Module):
    """A `GatedCrossAttention` before every k-th layer of a language model's stack, from the first layer on.

    The stack itself is not changed: blocks read for as long as `before_layers` is entered, or where a caller passes on a `reader`.

    Args:
        dim: channels of the language model.
        layers: number of layers of the stack.
        stack: which stack reads the tokens, one of `STACKS`.
        every: distance of two blocks, in layers.
        num_heads: attention heads of a block.
        ffn_ratio: hidden width of a block's FFN, as a multiple of `dim`.
    Raises:
        ValueError: if `stack` is unknown, a count is less than 1, or `num_heads` does not divide `dim`.
    """

    def __init__(self, dim: int, layers: int, *, stack: str, every: int, num_heads: int, ffn_ratio: int):
        super().__init__()
        if stack not in STACKS:
            raise ValueError(
                f"stack={stack!r} must be one of {', '.join(STACKS)}. Set model.cross_attention.stack."
            )
        for name, value in {"every": every, "num_heads": num_heads, "ffn_ratio": ffn_ratio}.items():
            if value < 1:
                raise ValueError(f"{name}={value} is less than 1. Raise model.cross_attention.{name}.")
        if dim % num_heads:
            divisors = [n for n in range(1, dim + 1) if dim % n == 0]
            raise ValueError(
                f"num_heads={num_heads} does not divide the language model's width of {dim}. Set "
                f"model.cross_attention.num_heads to one of {divisors}."
            )
        self.stack, self.every = stack, every
        self.blocks = nn.ModuleDict(
            {
                str(layer): GatedCrossAttention(dim, num_heads=num_heads, ffn_dim=ffn_ratio * dim)
                for layer in range(0, layers, every)
            }
        )

    def reader(self, tokens: Float[Tensor, "batch token dim"]) -> Callable[[int, Tensor], Tensor]:
        """Return a function (layer, its input) -> the input after its block has read the tokens.

        In a decoder, which generates token by token, keys and values are computed once for each block, and kept. The input may have
        several rows for each row of tokens, one after another, as beams have.
        """
        computed: dict[int, tuple[Tensor, Tensor]] = {}

        def read(layer: int, hidden: Tensor) -> Tensor:
            if str(layer) not in self.blocks:
                return hidden
            block = cast(GatedCrossAttention, self.blocks[str(layer)])
            keys, values = computed.get(layer) or block.cross_attn.keys_and_values(tokens)
            if (beams := len(hidden) // len(keys)) > 1:
                keys, values = (x.repeat_interleave(beams, 0) for x in (keys, values))
            if self.stack == "decoder":
                computed[layer] = keys, values
            # A language model in bfloat16, or one whose layers lie on several devices, gets its own kind back.
            return block(hidden.to(block.alpha_dense), keys, values).to(hidden)

        return read

    def summary(self) -> dict[str, Any]:
        """Return what a record says of the blocks: the number of their parameters, and their gates."""
        return {"parameters": sum(p.numel() for p in self.parameters()), "gates": self.gates()}

    def gates(self) -> list[dict[str, Any]]:
        r"""Return $\tanh(\alpha)$ of each block's gates, with the layer that it stands before."""
        return [
            {
                "layer": int(layer),
                "attention": block.alpha_cross_attn.tanh().item(),
                "dense": block.alpha_dense.tanh().item(),
            }
            for layer, block in cast(Any, self.blocks.items())
        ]


@contextmanager
def before_layers(layers: nn.ModuleList, read: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    """Pass the first argument of each layer's call through `read(layer, argument)` for as long as this is entered."""

    def hook(layer: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        return lambda _, arguments: (read(layer, arguments[0]), *arguments[1:])

    handles = [module.register_forward_pre_hook(hook(index)) for index, module in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
