"""How a bridge's attention lies over patches: a description, no cause, and none of bridges that have no attention."""

import numpy as np
import torch

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.data.batches import Batch
from bridgelab.model import BridgedModel


@torch.no_grad()
def patch_attention(model: BridgedModel, batch: Batch) -> np.ndarray | None:
    """Each patch's share of the attention to patches [example, patch], mean over layers, heads and queries; None without any."""
    with attention_over_patches() as collected:
        model.prefix(batch)
    if not collected:
        return None
    each = [weights.float().mean((1, 2)) for weights in collected]
    return torch.stack([one / one.sum(1, keepdim=True) for one in each]).mean(0).double().cpu().numpy()
