"""Muon for the weights of linear layers and convolutions and AdamW for the rest, as one optimizer with one learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from bridgelab.optim.muon import Muon


class MuonAdamW(Optimizer):
    """Muon for weights of linear layers and convolutions, AdamW for the rest.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon: Muon steps hidden matrices; AdamW steps vectors, and
    learned inputs such as queries.

    Args:
        params: groups; Muon steps those with `matrix: true`.
        lr: learning rate of Muon.
        adamw_ratio: learning rate of AdamW, as a multiple of Muon's.
        momentum: of Muon.
        betas: of AdamW.
        weight_decay: of AdamW's groups that set none of their own. Muon has no weight decay.
    Raises:
        ValueError: if there is no parameter.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        *,
        adamw_ratio: float = 0.3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.01,
    ):
        groups = list(params)
        matrices = [group for group in groups if group.get("matrix")]
        others = [group for group in groups if not group.get("matrix")]
        self._muon = Muon(matrices, lr=lr, momentum=momentum) if matrices else None
        self._adamw = (
            AdamW(others, lr=adamw_ratio * lr, betas=betas, weight_decay=weight_decay) if others else None
        )
        optimizers = [optimizer for optimizer in (self._muon, self._adamw) if optimizer is not None]
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Take one step with both, after the closure, in which Lightning computes the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in (self._muon, self._adamw):
            if optimizer is not None:
                # Schedulers and checkpoints change the groups and the state of this optimizer: hand them on.
                optimizer.param_groups = [
                    g for g in self.param_groups if bool(g.get("matrix")) == (optimizer is self._muon)
                ]
                optimizer.state = self.state
                optimizer.step()
        return loss
