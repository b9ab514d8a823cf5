"""What a bridge must be like at its first step: traps that cost a whole run where they are not seen."""

import torch

from bridgelab.bridge.check import distances
from bridgelab.data.batches import Batch
from bridgelab.model import BridgedModel

APART = 1e-3  # least distance of two queries' tokens, over a token's length
LEAST, MOST = 1e-8, 1e4  # of the first gradient's norm over all weights


def check_start(model: BridgedModel, batch: Batch) -> None:
    """Refuse queries that are alike, and a first gradient that is nothing, huge or not finite.

    Queries that start equal stay equal (notes: BLIP-2's zeros, Idefics2's ones); zero queries under a LayerNorm of eps 1e-12
    have a first gradient of 1e11.

    Args:
        model: calibrated.
        batch: the first.
    Raises:
        ValueError: with what was found.
    """
    if hasattr(model.bridge, "num_queries"):
        with torch.no_grad():
            least = distances(model.prefix(batch).float()).min().item()
        if not least > APART:
            raise ValueError(
                f"two of the bridge's queries give tokens that are {least:.1e} of a token's length apart: queries that start "
                "alike stay alike. Draw each from a distribution, such as N(0, 0.02²)."
            )
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        gradients = torch.autograd.grad(model.loss(batch), trained, allow_unused=True)
    norm = torch.stack([g.float().norm() for g in gradients if g is not None]).norm().item()
    if not LEAST < norm < MOST:
        raise ValueError(
            f"the first gradient's norm is {norm:.3g}: it must lie between {LEAST:g} and {MOST:g}. Look at the bridge's "
            "initialisation: a norm over zeros, or an output that does not depend on its weights."
        )
