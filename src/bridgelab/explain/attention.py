"""Where a bridge's attention lies. A description, no cause: what is attended to need not be used (see `selection` for that)."""

from dataclasses import dataclass

import numpy as np

from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.explain.patch_attention import patch_attention
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import ONE, sample_of
from bridgelab.statistics.estimate import Estimate

BATCH = 64


@dataclass(frozen=True)
class Attention:
    """The share of the attention to patches that lies on a part of them, mean over layers, heads and queries.

    Args:
        visited: on patches of visited objects.
        others: on patches of other objects alone.
        background: on all the rest.
    """

    visited: Estimate
    others: Estimate
    background: Estimate


def attention(model: BridgedModel, prepared: TokenizedExamples, parts: np.ndarray) -> Attention | None:
    """The attention's shares, over questions that visit an object.

    Args:
        parts: bool [question, part, patch], as `selection` has it.
    Returns:
        None where the bridge has no attention to patches, or computes it elsewhere than in `bridge.attention.attend`.
    """
    found = []
    for first in range(0, len(prepared), BATCH):
        rows = np.arange(first, min(first + BATCH, len(prepared)))
        shares = patch_attention(model, on_device(prepared.batch(rows), model))
        if shares is None:
            return None
        found.append(shares)
    mass = (np.concatenate(found)[:, None] * parts).sum(2)
    asked = parts[:, 0].sum(1) > 0
    sample = sample_of(prepared.examples)
    return Attention(*(sample.mean(mass[None, :, k], ONE, asked) for k in range(3)))
