"""Checks of a bridge's first step, for initializations that would waste a whole run."""

import torch

from bridgelab.bridge.contract import distances
from bridgelab.data.batches import Batch
from bridgelab.model import BridgedModel

MIN_DISTANCE = 1e-3  # between the tokens of two queries, relative to a token's norm
MIN_NORM, MAX_NORM = 1e-8, 1e4  # of the first gradient over all weights


def check_start(model: BridgedModel, batch: Batch) -> None:
    """Refuse queries that are alike, and a first gradient that is zero, huge or not finite.

    Queries that start equal stay equal (BLIP-2 initializes them with zeros, Idefics2 with ones). Zero queries under a LayerNorm
    with eps 1e-12 have a first gradient of 1e11.

    Args:
        model: with its output scale set.
        batch: the first batch.
    Raises:
        ValueError: with the distance or the norm, and the fix.
    """
    if getattr(model.bridge, "num_queries", 1) > 1:
        with torch.no_grad():
            least = distances(model.prefix(batch).float()).min().item()
        if not least > MIN_DISTANCE:
            raise ValueError(
                f"two of the bridge's queries give tokens that are {least:.1e} of a token's length apart: queries that start "
                "alike stay alike. Draw each from a distribution, such as N(0, 0.02²)."
            )
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        gradients = torch.autograd.grad(model.loss(batch), trained, allow_unused=True)
    norm = torch.stack([g.float().norm() for g in gradients if g is not None]).norm().item()
    if not MIN_NORM < norm < MAX_NORM:
        raise ValueError(
            f"the first gradient's norm is {norm:.3g}: it must lie between {MIN_NORM:g} and {MAX_NORM:g}. Look at the bridge's "
            "initialisation: a norm over zeros, or an output that does not depend on its weights."
        )
