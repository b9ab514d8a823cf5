"""Retrieval between the images and the captions of a split, and the losses on them."""

from collections.abc import Iterator

import numpy as np
import torch

from bridgelab.alignment.captions import Captions
from bridgelab.alignment.contrastive import similarity
from bridgelab.alignment.model import Alignment
from bridgelab.evaluation.predict import on_device

I2T, T2I = "val/i2t_r1", "val/t2i_r1"


@torch.no_grad()
def evaluate(model: Alignment, captions: Captions, batch_size: int) -> dict[str, float]:
    """Return the losses, and recall at 1 both ways, in eval mode.

    Args:
        model: the Q-Former with its text side.
        captions: of val.
        batch_size: of the losses, whose contrast is over the batch. Captions that do not fill one are left out of the losses.
    """
    training = model.training
    model.eval()
    losses = [model(on_device(captions.batch(rows), model)) for rows in _batches(len(captions), batch_size)]
    means = {name: float(torch.stack([own[name] for own in losses]).mean()) for name in losses[0]}
    found = retrieval(model, captions, batch_size)
    model.train(training)
    return {
        "val/loss": sum(means.values()),
        **{f"val/{name}": value for name, value in means.items()},
        **found,
    }


@torch.no_grad()
def retrieval(model: Alignment, captions: Captions, batch_size: int) -> dict[str, float]:
    """Return recall at 1 by the contrast's similarity, from images to texts and from texts to images.

    An image counts as right if the text nearest to it is one of its captions.
    """
    numbers, of_caption = np.unique(captions.images[:, 0], return_inverse=True)
    own = torch.from_numpy(of_caption).to(model.mean.device)
    texts = torch.cat(
        [
            model.encode_texts(on_device(captions.batch(rows), model)["labels"])
            for rows in _chunks(len(captions), batch_size)
        ]
    )
    nearest_text, nearest_image = [], torch.full_like(own, -1)
    best = own.new_full((len(texts),), -torch.inf, dtype=texts.dtype)
    for rows in _chunks(len(numbers), batch_size):
        patches = captions.features(numbers[rows]).to(model.mean.device)
        found = similarity(model.encode_images(patches), texts)
        nearest_text.append(found.argmax(dim=1))
        highest, row = found.max(dim=0)
        nearest_image = torch.where(highest > best, row + int(rows[0]), nearest_image)
        best = torch.maximum(highest, best)
    to_text = own[torch.cat(nearest_text)] == torch.arange(len(numbers), device=own.device)
    return {I2T: float(to_text.double().mean()), T2I: float((nearest_image == own).double().mean())}


def chance(captions: Captions) -> dict[str, float]:
    """Return recall at 1 of a random order."""
    _, counts = np.unique(captions.images[:, 0], return_counts=True)
    return {I2T: float(counts.mean() / len(captions)), T2I: 1 / len(counts)}


def _batches(number: int, size: int) -> Iterator[np.ndarray]:
    """Yield rows of whole batches, or all rows if they do not fill one; always the same, and mixed, as in training."""
    rows = np.random.default_rng(0).permutation(number)
    size = min(size, number)
    for first in range(0, number - size + 1, size):
        yield rows[first : first + size]


def _chunks(number: int, size: int) -> Iterator[np.ndarray]:
    for first in range(0, number, size):
        yield np.arange(first, min(first + size, number))
