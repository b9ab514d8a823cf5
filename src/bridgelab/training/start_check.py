"""Checks of a bridge's first step, for initializations that would waste a whole run."""

from typing import Any

import torch
from torch import Tensor

from bridgelab.bridge.contract import distances
from bridgelab.data.batches import Batch
from bridgelab.model import BridgedModel

MIN_DISTANCE = 1e-3  # between the tokens of two queries, relative to a token's norm
MIN_NORM, MAX_NORM = 1e-8, 1e4  # of the first gradient over all weights


def check_start(model: BridgedModel, *micro_batches: Batch) -> None:
    """Refuse queries that are alike, and a first gradient that is zero, huge or not finite.

    Queries that start equal stay equal (BLIP-2 initializes them with zeros, Idefics2 with ones). Zero queries under a LayerNorm
    with eps 1e-12 have a first gradient of 1e11.

    Args:
        model: with its output scale set.
        micro_batches: of the first batch, as training takes it, each with the divisor of its loss if there are several.
    Raises:
        ValueError: with the distance or the norm, and the fix.
    """
    if getattr(model.bridge, "num_queries", 1) > 1:
        with torch.no_grad():
            least = min(distances(model.prefix(batch).float()).min().item() for batch in micro_batches)
        if not least > MIN_DISTANCE:
            raise ValueError(
                f"two of the bridge's queries give tokens that are {least:.1e} of a token's length apart: queries that start "
                "alike stay alike. Draw each from a distribution, such as N(0, 0.02²)."
            )
    trained = [p for p in model.parameters() if p.requires_grad]
    bridge: Any = model.bridge
    gradients: list[Tensor | None] = []
    for number, batch in enumerate(micro_batches):
        if number and hasattr(bridge, "repeat_draw"):
            bridge.repeat_draw()  # all micro-batches are one step
        with torch.enable_grad():
            found = torch.autograd.grad(model.loss(batch), trained, allow_unused=True)
        gradients = [
            own if sum_ is None else sum_ if own is None else sum_ + own
            for own, sum_ in zip(found, gradients or [None] * len(found), strict=True)
        ]
    norm = torch.stack([g.float().norm() for g in gradients if g is not None]).norm().item() / len(
        micro_batches
    )
    if not MIN_NORM < norm < MAX_NORM:
        raise ValueError(
            f"the first gradient's norm is {norm:.3g}: it must lie between {MIN_NORM:g} and {MAX_NORM:g}. Look at the bridge's "
            "initialisation: a norm over zeros, or an output that does not depend on its weights."
        )
