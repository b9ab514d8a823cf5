"""Muon for the weights of linear layers, AdamW for all else: one optimizer with one learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from bridgelab.optim.muon import Muon


class MuonAdamW(Optimizer):
    """Every matrix moves in all its directions alike; the rest has no directions to even out, and is AdamW's.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon: hidden matrices by Muon; vectors, and learned inputs
    such as queries, by AdamW.

    Args:
        params: groups; those with `matrix: true` are Muon's.
        lr: of Muon: the spectral norm of a step, roughly, for a matrix that is not taller than wide.
        adamw_ratio: AdamW's rate over Muon's.
        momentum: of Muon.
        betas: of AdamW.
        weight_decay: of AdamW's groups that do not say otherwise; Muon's matrices do not decay.
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
        parts = [part for part in (self._muon, self._adamw) if part is not None]
        super().__init__([group for part in parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """One step of both; the closure, in which Lightning makes the gradients, runs first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in (self._muon, self._adamw):
            if part is not None:
                # This optimizer's groups and state are the ones that are scheduled, saved and loaded.
                part.param_groups = [
                    g for g in self.param_groups if bool(g.get("matrix")) == (part is self._muon)
                ]
                part.state = self.state
                part.step()
        return loss
