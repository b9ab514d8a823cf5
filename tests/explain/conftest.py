"""Bridges with a planted inside, between marked patches and a model that adds up tokens."""

import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples

QUESTIONS, PATCHES = 240, 16


class Adds(nn.Module):
    """A stand-in for the bridged model: the log-probability of any target is the sum of the bridge's tokens."""

    def __init__(self, bridge):
        super().__init__()
        self.bridge = bridge
        self.register_buffer("mean", torch.zeros(3))

    def likelihood(self, batch, encoded=None):
        return self.bridge(batch["patches"]).sum((1, 2))

    def prefix(self, batch):
        return self.bridge(batch["patches"])


class Reads(nn.Module):
    """A bridge that outputs the evidence (channel 0) of the patches marked in one channel."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel

    def forward(self, patches, text=None, text_mask=None):
        return patches[..., :1] * patches[..., self.channel : self.channel + 1]


class Planted:
    """Questions about marked patches.

    `regions` tells which patches show visited objects, other objects and background. Channel 0 of each patch is evidence and always 1;
    channel 1 marks patches of visited objects, channel 2 a random fourth of all patches.
    """

    def __init__(self, text):
        rng = np.random.default_rng(0)
        kind = rng.choice(3, (QUESTIONS, PATCHES), p=(0.2, 0.4, 0.4))
        self.regions = np.stack([kind == k for k in range(3)], 1)
        patches = np.ones((QUESTIONS, PATCHES, 3), dtype=np.float32)
        patches[..., 1] = self.regions[:, 0]
        patches[..., 2] = rng.random((QUESTIONS, PATCHES)) < 0.25
        self.patches = torch.from_numpy(patches)
        examples = [
            Example(f"q{k}", (f"/{k}.png",), "what is it ?", ("red",), "answer") for k in range(QUESTIONS)
        ]
        rows = {f"/{k}.png": k for k in range(QUESTIONS)}
        self.prepared = TokenizedExamples(
            examples, text, rows, lambda chosen: self.patches[torch.as_tensor(chosen)]
        )


@pytest.fixture
def planted(tiny_text):
    return Planted(tiny_text)


@pytest.fixture
def adds():
    return Adds


@pytest.fixture
def reads():
    return Reads
