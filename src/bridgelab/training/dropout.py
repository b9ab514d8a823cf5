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


def seed_dropout(seed: int, step: int = 0, micro_batch: int = 0, rank: int = 0) -> None:
    """Seed torch for dropout's masks in one micro-batch of a step.

    Args:
        seed: of the training.
        step: of the optimizer.
        micro_batch: its number in the step, if gradients are accumulated.
        rank: of this process.
    """
    torch.manual_seed(
        int(np.random.SeedSequence([seed, step, micro_batch, rank]).generate_state(1, np.uint64)[0])
    )
