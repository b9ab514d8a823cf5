"""Where one answer rests: a map of the patches by replacement, for any bridge, and beside it, as a description, its attention."""

from dataclasses import replace

import numpy as np

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.explain.occlusion import fall_maps
from bridgelab.explain.patch_attention import patch_attention
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import Map


def said_instead(example: Example, said: str) -> Example:
    """The example with a bridge's own answer as its target."""
    return replace(example, answers=(said.strip() or ".",), kind="answer", choices=())


def maps(model: BridgedModel, prepared: TokenizedExamples, grid: tuple[int, int], cls: bool) -> list[Map]:
    """A map for each example, whose target is the bridge's answer (`said_instead`).

    Args:
        model: a calibrated one.
        prepared: examples of one image each.
        grid: rows and columns of its patches.
        cls: whether a class token stands before them.
    """
    falls = [
        fall_maps(model, on_device(prepared.batch([k]), model), grid, cls)[0] for k in range(len(prepared))
    ]
    seen = patch_attention(model, on_device(prepared.batch(np.arange(len(prepared))), model))
    return [
        Map(
            example.id,
            example.answers[0],
            fall,
            None if seen is None else seen[k, int(cls) :].reshape(grid),
        )
        for k, (example, fall) in enumerate(zip(prepared.examples, falls, strict=True))
    ]
