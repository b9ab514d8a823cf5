"""A frozen T5 encoder that passes gradients through to its input, and spends nothing on what is frozen.

transformers' T5Stack on a CPU spends most of a step in passes over the attention weights [batch, head, length,
length]: add the bias, add the mask, convert, softmax, and each of them back. Here the weights are computed a few
examples at a time, so that they stay in the cache, and what is frozen is folded together once: the RMS norm's
gain into the matrices after it, and queries, keys and values into one matrix. Tests hold it to transformers' own output and gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

# Examples whose attention weights are made at once: 8 × 4 heads × 96 × 96 in bf16 fill half a cache of 1 MB.
CHUNK = 8
A, B = (2 / math.pi) ** 0.5, 0.044715  # of GELU's tanh form
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: _Gelu.apply(x),
}


class _Attention(torch.autograd.Function):
    r"""$O = P V$ with $P = \mathrm{softmax}(Q K^\top + B)$, a few examples at a time.

    Backward, with $g = \partial O$: $\partial V = P^\top g$, and $\partial S$ is the softmax's own gradient of
    $\partial P = g V^\top$. Each chunk is softmaxed while it is in the cache, which costs little more than exp alone.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, masked: Tensor) -> Tensor:
        """One layer's attention.

        Args:
            qkv: [3, batch, head, length, d].
            bias: [head, length, length], the same for each example.
            masked: 0 for a real key, -inf for padding, [batch, 1, 1, length].
        Returns:
            [batch, head, length, d].
        """
        _, batch, heads, length, _ = qkv.shape
        queries, keys, values = qkv.flatten(1, 2)
        weights = qkv.new_empty(batch, heads, length, length)
        out = torch.empty_like(queries)
        for first in range(0, batch, CHUNK):
            examples, part = slice(first, first + CHUNK), slice(first * heads, (first + CHUNK) * heads)
            w = torch.add(bias, masked[examples], out=weights[examples]).flatten(0, 1)
            torch.baddbmm(w, queries[part], keys[part].transpose(1, 2), out=w)
            torch.softmax(w, -1, out=w)
            torch.bmm(w, values[part], out=out[part])
        ctx.save_for_backward(qkv, weights.flatten(0, 1))
        return out.view(batch, heads, length, -1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # in the dtypes of the forward pass, whatever is around
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """The gradient of qkv."""
        qkv, weights = ctx.saved_tensors
        heads = qkv.shape[2]
        queries, keys, values = qkv.flatten(1, 2)
        gradient = gradient.reshape(queries.shape)
        result = torch.empty_like(qkv)
        by_query, by_key, by_value = result.flatten(1, 2)
        for first in range(0, len(weights), CHUNK * heads):
            part = slice(first, first + CHUNK * heads)
            w, g = weights[part], gradient[part]
            torch.bmm(w.transpose(1, 2), g, out=by_value[part])
            scores = torch.bmm(g, values[part].transpose(1, 2))
            scores = torch.ops.aten._softmax_backward_data(scores, w, -1, w.dtype)
            torch.bmm(scores, keys[part], out=by_query[part])
            torch.bmm(scores.transpose(1, 2), queries[part], out=by_key[part])
        return result, None, None


class _Gelu(torch.autograd.Function):
    r"""GELU in its tanh form as $x\, \sigma(2u)$, $u = \sqrt{2/\pi}\,(x + 0.044715 x^3)$: the same function.

    It takes four fifths of the time of torch's own in bf16 on a CPU, where tanh is slow.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape."""
        square = x * x
        gate = torch.sigmoid(square.mul(2 * A * B).add_(2 * A).mul_(x))
        ctx.save_for_backward(x, square, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        r"""$\sigma + x \sigma (1 - \sigma) \, 2 u'$, $2u' = 2\sqrt{2/\pi}\,(1 + 3 \cdot 0.044715 x^2)$."""
        x, square, gate = ctx.saved_tensors
        slope = square.mul(6 * A * B).add_(2 * A).mul_(x)
        slope.mul_(1 - gate).add_(1).mul_(gate)
        return slope.mul_(gradient)


class ThroughEncoder:
    """The encoder of a frozen T5, for inference and for gradients with respect to its input.

    Args:
        model: a T5ForConditionalGeneration whose weights no longer change.
        dtype: of matrix products; norms and the residual stream stay in float32.
    """

    def __init__(self, model: Any, dtype: torch.dtype):
        self.config, self.dtype = model.config, dtype
        self.stack = model.encoder
        self.layers: list[dict[str, Tensor]] = []
        self._bias: dict[int, Tensor] = {}
        self._of: torch.device | None = None

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether this T5 is one that is known here."""
        config = model.config
        return (
            config.model_type == "t5"
            and config.dense_act_fn in ACTIVATIONS
            and not model.encoder.training
            and not any(p.requires_grad for p in model.parameters())
        )

    def _prepare(self, device: torch.device) -> None:
        """Fold the weights, again if the model has moved."""
        self.layers, self._bias, self._of = [], {}, device
        # Not inference tensors, even if the first to ask is an evaluation: training comes after it.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            for block in self.stack.block:
                attention, dense = block.layer[0], block.layer[1]
                a, d = attention.SelfAttention, dense.DenseReluDense
                into = (
                    torch.cat([a.q.weight, a.k.weight, a.v.weight]).float()
                    * attention.layer_norm.weight.float()
                )
                wide = torch.cat([d.wi_0.weight, d.wi_1.weight]) if self.config.is_gated_act else d.wi.weight
                layer = {
                    "qkv": into,
                    "o": a.o.weight,
                    "wi": wide.float() * dense.layer_norm.weight.float(),
                    "wo": d.wo.weight,
                }
                self.layers.append(
                    {name: w.detach().to(self.dtype).contiguous() for name, w in layer.items()}
                )
            self._gain = self.stack.final_layer_norm.weight.detach().float()

    def _position_bias(self, length: int, device: torch.device) -> Tensor:
        if length not in self._bias:
            with torch.inference_mode(False), torch.no_grad():
                bias = self.stack.block[0].layer[0].SelfAttention.compute_bias(length, length, device=device)
            self._bias[length] = bias[0].to(self.dtype)
        return self._bias[length]

    def __call__(
        self, inputs: Float[Tensor, "batch length dim"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dim"]:
        """What `model.encoder(inputs_embeds=inputs, attention_mask=mask).last_hidden_state` is."""
        if self._of != inputs.device:
            self._prepare(inputs.device)
        with torch.autocast(inputs.device.type, enabled=False):
            batch, length, _ = inputs.shape
            heads = self.config.num_heads
            bias = self._position_bias(length, inputs.device)
            masked = torch.zeros_like(mask, dtype=self.dtype).masked_fill(~mask, -torch.inf)[:, None, None]
            hidden = inputs.float()
            for layer in self.layers:
                qkv = F.linear(self._normed(hidden), layer["qkv"])
                qkv = qkv.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4).contiguous()
                mixed = _Attention.apply(qkv, bias, masked).transpose(1, 2).reshape(batch, length, -1)
                hidden = hidden + F.linear(mixed, layer["o"])
                wide = F.linear(self._normed(hidden), layer["wi"])
                if self.config.is_gated_act:
                    gate, value = wide.chunk(2, -1)
                    wide = ACTIVATIONS[self.config.dense_act_fn](gate) * value
                else:
                    wide = ACTIVATIONS[self.config.dense_act_fn](wide)
                hidden = hidden + F.linear(wide, layer["wo"])
            return self._normed(hidden, torch.float32) * self._gain

    def _normed(self, hidden: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return _Norm.apply(hidden, self.config.layer_norm_epsilon, dtype or self.dtype)


class _Norm(torch.autograd.Function):
    r"""$y = r x$, $r = 1 / \sqrt{\mathrm{mean}(x^2) + \epsilon}$; $\partial x = r (\partial y - y\, \mathrm{mean}(y\, \partial y))$."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        """float32 [..., dim] -> dtype [..., dim]."""
        norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        scale = (norm.square() / hidden.shape[-1] + eps).rsqrt()
        normed = (hidden * scale).to(dtype)
        ctx.save_for_backward(normed, scale)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """The gradient of `hidden`."""
        normed, scale = ctx.saved_tensors
        g, y = gradient.float(), normed.float()
        along = torch.linalg.vecdot(g, y).unsqueeze(-1) / y.shape[-1]
        return torch.addcmul(g, y, along, value=-1).mul_(scale), None, None
