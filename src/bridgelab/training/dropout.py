"""Dropout's masks, the same however often a run is resumed and whatever its process has done before."""

import numpy as np
import torch
from torch import nn

MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def has_dropout(model: nn.Module) -> bool:
    """Return whether a part of a model that is in training mode drops anything: a dropout module, or attention with a rate `dropout`."""
    rates = (
        module.p if isinstance(module, MODULES) else getattr(module, "dropout", 0.0)
        for module in model.modules()
        if module.training
    )
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def seed_dropout(seed: int, step: int = 0, part: int = 0, rank: int = 0) -> None:
    """Seed torch for the masks of one part of a step's batch.

    Args:
        seed: of the training.
        step: of the optimizer.
        part: of the step's batch, if gradients are accumulated.
        rank: of this process.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, step, part, rank]).generate_state(1, np.uint64)[0]))
