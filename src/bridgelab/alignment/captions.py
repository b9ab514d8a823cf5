"""Captions of images as training pairs: one caption each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import Batch, TokenizedExamples


class Captions(TokenizedExamples):
    """Pairs of an image and a caption as arrays."""

    def batch(self, rows: Sequence[int] | np.ndarray, images: np.ndarray | None = None) -> Batch:
        """Return `patches`, `labels`, `image` and `draws`, as `Alignment.forward` describes them.

        The draws depend on the rows alone, so that a resumed run has the same hard negatives.
        """
        rows = np.asarray(rows)
        batch = super().batch(rows, images)
        # Padding to a multiple of eight must not pass the last position embedding.
        labels = batch["labels"][:, : self._targets.max_length]
        return {
            "patches": batch["patches"],
            "labels": labels,
            "image": torch.from_numpy(self.images[rows, 0]),
            "draws": torch.from_numpy(np.random.default_rng(rows).random((len(rows), 2), dtype=np.float32)),
        }


def one_caption_each(examples: Sequence[Example]) -> list[Example]:
    """Return an example for each caption of each example."""
    return [
        replace(example, id=f"{example.id}-{number}", answers=(caption,))
        for example in examples
        for number, caption in enumerate(example.answers)
    ]
