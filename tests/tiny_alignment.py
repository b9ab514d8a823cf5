"""A Q-Former with its text side at a size at which loops in Python take milliseconds, and a batch for it."""

import torch

from bridgelab.alignment.model import Alignment
from bridgelab.bridge.qformer import QFormer

WORDS, LENGTH, VISION, PATCHES = 11, 7, 6, 5
CHOICES = {"num_queries": 3, "depth": 3, "width": 8, "num_heads": 2}
IGNORED = -100


def aligned(dtype=torch.float64, seed=0, **choices):
    torch.manual_seed(seed)
    bridge = QFormer(VISION, 4, **{**CHOICES, **choices})
    model = Alignment(bridge, vocabulary=WORDS, max_length=LENGTH, embed_dim=5)
    for name, p in model.named_parameters():
        if name != "log_temp":
            torch.nn.init.normal_(p, std=0.3)
    return model.to(dtype)


def batch_of(lengths=(4, 2, 5, 3), images=(0, 1, 2, 3), dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.full((len(lengths), max(lengths)), IGNORED)
    for row, length in enumerate(lengths):
        labels[row, :length] = torch.randint(1, WORDS, (length,), generator=generator)
    return {
        "patches": torch.randn(len(lengths), PATCHES, VISION, generator=generator, dtype=dtype),
        "labels": labels,
        "image": torch.tensor(images),
        "draws": torch.rand(len(lengths), 2, generator=generator),
    }
