"""Muon for many small matrices on a CPU: the step of torch.optim.Muon, in float32 and for all matrices of a shape at once.

torch.optim.Muon orthogonalizes one matrix after the other in bfloat16, which a CPU without bf16 instructions emulates.
There a step of the miniature T5's optimizer took longer than its forward and backward pass together.
A GPU has tensor cores for bfloat16, so there matrices are orthogonalized in it, as torch.optim.Muon and the authors do.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic iteration, as in torch.optim.Muon
ITERATIONS = 5
# Numbers that a GPU orthogonalizes at once: many small matrices, or a few large ones, whose copies take memory.
SLICE = 2**26


def in_bfloat16(device: torch.device) -> bool:
    """Return whether matrices are orthogonalized in bfloat16: on GPUs that do not emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def orthogonalize(matrices: Tensor) -> Tensor:
    r"""Return approximately the nearest semi-orthogonal matrices of a stack, [n, rows, columns].

    Newton-Schulz iteration $X \leftarrow a X + (b G + c G^2) X$ with $G = X X^\top$ (Jordan et al. 2024): it drives all
    singular values towards 1. It runs in the type that `in_bfloat16` chooses, which is that of the result.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    if in_bfloat16(x.device):
        x = x.bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose update is orthogonalized, without weight decay.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.

    Args:
        params: weights of linear layers, [out, in], or of convolutions, [out, in, height, width], or groups of them. A convolution is
            the matrix [out, in · height · width]. The parameters of a group with `transposed: true` are [in, out].
        lr: spectral norm of an update, roughly; times sqrt(out / in) for a matrix with more outputs than inputs.
        momentum: decay of the running mean of gradients.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float = 0.005, momentum: float = 0.95
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step on every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.flatten(1).shape, []).append(p)
            for (rows, columns), params in by_shape.items():
                ratio = columns / rows if group.get("transposed") else rows / columns
                lr = group["lr"] * max(1, ratio) ** 0.5
                for some in _slices(params):
                    updates = torch.stack([self._update(p, group["momentum"]) for p in some])
                    for p, update in zip(some, orthogonalize(updates), strict=True):
                        p.sub_(update.view_as(p), alpha=lr)

    def _update(self, p: Tensor, momentum: float) -> Tensor:
        """Take a parameter's gradient into its running mean, and return the update [out, in] before it is orthogonalized."""
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum_buffer"], momentum).flatten(1)


def _slices(params: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Yield parameters of one shape in slices that are orthogonalized at once; all of them where that is in float32."""
    size = max(1, SLICE // params[0].numel()) if in_bfloat16(params[0].device) else len(params)
    for first in range(0, len(params), size):
        yield params[first : first + size]
