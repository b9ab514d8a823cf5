"""Saliency maps of single answers: occlusion, for any bridge, and attention as a description beside it."""

from dataclasses import replace

import numpy as np

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.explain.attention import patch_attention
from bridgelab.explain.occlusion import occlusion_maps
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import Map


def with_answer_as_target(example: Example, answer: str) -> Example:
    """Return the example with a bridge's own answer as its target; a full stop if the answer is empty."""
    return replace(example, answers=(answer.strip() or ".",), kind="answer", choices=())


def saliency_maps(
    model: BridgedModel, tokenized: TokenizedExamples, grid: tuple[int, int], cls: bool
) -> list[Map]:
    """Return a map for each example, whose target is the bridge's answer (`with_answer_as_target`).

    Args:
        model: a model whose bridge's output scale is set.
        tokenized: examples of one image each.
        grid: rows and columns of the image's patches.
        cls: whether a class token precedes the patches.
    """
    effects = [
        occlusion_maps(model, on_device(tokenized.batch([k]), model), grid, cls)[0]
        for k in range(len(tokenized))
    ]
    attention = patch_attention(model, on_device(tokenized.batch(np.arange(len(tokenized))), model))
    return [
        Map(
            example.id,
            example.answers[0],
            effect,
            None if attention is None else attention[k, int(cls) :].reshape(grid),
        )
        for k, (example, effect) in enumerate(zip(tokenized.examples, effects, strict=True))
    ]
