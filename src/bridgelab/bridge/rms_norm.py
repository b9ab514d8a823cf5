"""RMSNorm with a backward through LayerNorm's kernel, which takes one pass over its input on a CPU."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class RMSNorm(nn.Module):
    r"""$y = w \odot x / \sqrt{\overline{x^2} + \epsilon}$ over channels (Zhang and Sennrich 2019, arXiv:1910.07467).

    Computed at least in float32, as in Idefics2. torch's own RMSNorm warns if autocast mixes dtypes, and on a CPU it runs
    many small operations.
    """

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return rms_normalize(x, self.weight, self.eps)


def rms_normalize(
    x: Float[Tensor, "*batch dim"], weight: Float[Tensor, " dim"] | None, eps: float
) -> Float[Tensor, "*batch dim"]:
    """Normalise x as `RMSNorm` does. Without a weight the result is not scaled, for callers that fold the weight elsewhere."""
    wide = x if x.dtype == torch.float64 else x.float()
    return _RMSNormalize.apply(wide, None if weight is None else weight.to(wide.dtype), eps).to(x.dtype)


class _RMSNormalize(Function):
    r"""`rms_normalize` in one dtype, differentiable once.

    With $r = 1 / \sqrt{\overline{x^2} + \epsilon}$ and $g = w \odot \nabla y$, $\nabla x = r g - r^3 \, \overline{g \odot x} \,
    x$. LayerNorm's backward with a mean of zero and this $r$ gives the same less $r \, \overline{g}$, which is added.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        scale = (x.square().mean(-1, keepdim=True) + eps).rsqrt()
        scale = scale.contiguous()  # the backward kernel ignores strides
        ctx.save_for_backward(x, weight, scale)
        return x * scale if weight is None else (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        to_x, to_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grad,
            x,
            x.shape[-1:],
            torch.zeros_like(scale),
            scale,
            weight,
            None,
            [True, weight is not None, False],
        )
        mean = (grad if weight is None else grad * weight).mean(-1, keepdim=True)
        return to_x.add_(scale * mean), to_weight, None
