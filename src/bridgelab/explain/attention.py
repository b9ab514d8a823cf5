"""Where a bridge's attention lies. This describes and does not explain: what is attended to need not be used (see `selection`)."""

from dataclasses import dataclass

import numpy as np
import torch

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.data.batches import Batch, TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import SINGLE_RUN, sample_of
from bridgelab.statistics.estimate import Estimate

BATCH_SIZE = 64


@dataclass(frozen=True)
class Attention:
    """Shares of the attention to patches that lie on each region of the image, mean over layers, heads and queries.

    Args:
        visited: on patches of visited objects.
        others: on patches of other objects alone.
        background: on all other patches.
    """

    visited: Estimate
    others: Estimate
    background: Estimate


def attention(model: BridgedModel, tokenized: TokenizedExamples, regions: np.ndarray) -> Attention | None:
    """Return the shares of attention, mean over questions that visit an object.

    Args:
        model: the bridge between its frozen backbones.
        tokenized: the questions.
        regions: bool [question, region, patch], as in `selection`.
    Returns:
        None if the bridge has no attention to patches, or does not compute it by `bridge.attention.attend`.
    """
    batches = []
    for first in range(0, len(tokenized), BATCH_SIZE):
        rows = np.arange(first, min(first + BATCH_SIZE, len(tokenized)))
        of_patches = patch_attention(model, on_device(tokenized.batch(rows), model))
        if of_patches is None:
            return None
        batches.append(of_patches)
    shares = (np.concatenate(batches)[:, None] * regions).sum(2)
    visits = regions[:, 0].sum(1) > 0
    sample = sample_of(tokenized.examples)
    return Attention(*(sample.mean(shares[None, :, region], SINGLE_RUN, visits) for region in range(3)))


@torch.no_grad()
def patch_attention(model: BridgedModel, batch: Batch) -> np.ndarray | None:
    """Return each patch's share of the attention to patches [example, patch], mean over layers, heads and queries.

    Returns:
        None if the bridge has no attention to patches.
    """
    with attention_over_patches() as weights:
        model.prefix(batch)
    if not weights:
        return None
    per_layer = [layer.float().mean((1, 2)) for layer in weights]
    # A bridge that keeps places leaves out the class token before the patches.
    tokens = batch["patches"].shape[1]
    per_layer = [torch.nn.functional.pad(layer, (tokens - layer.shape[1], 0)) for layer in per_layer]
    shares = [layer / layer.sum(1, keepdim=True) for layer in per_layer]
    return torch.stack(shares).mean(0).double().cpu().numpy()
