"""From images to patch features by a frozen encoder, and what rounding them to a stored dtype does."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Encoder(Protocol):
    """The part of a frozen encoder that features need."""

    dim: int
    fingerprint: str

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3], of any size -> [batch, channel, row, column], of the encoder's size."""
        ...

    def __call__(self, pixels: Tensor) -> Tensor:
        """[batch, channel, row, column] -> [batch, patch, dim]."""
        ...


def encode(encoder: Encoder, images: Sequence[np.ndarray]) -> Tensor:
    """Images of any sizes, uint8 [height, width, 3] each -> float32 [image, patch, dim], where the encoder is."""
    with torch.no_grad():
        pixels = [encoder.pixels(torch.from_numpy(image)[None]) for image in images]
        return encoder(torch.cat(pixels)).float()


def rounded(patches: Tensor, dtype: str, names: Sequence[str]) -> Tensor:
    """Features in the dtype that they are kept in: bfloat16 is off by 1/256 of a value at most, float16 by 1/2048.

    An encoder that runs in bfloat16 loses nothing in bfloat16. Of one in float32, what a bridge sees is standardised, so
    values m deviations from zero are off by m/256 of a deviation at most.

    Args:
        patches: float32 [image, patch, dim].
        dtype: one of `DTYPES`.
        names: of the images.
    Raises:
        ValueError: if a feature is not finite in that dtype.
    """
    kept = patches.to(DTYPES[dtype])
    finite = kept.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        image = int((~finite).nonzero()[0])
        raise ValueError(
            f"a feature of {names[image]} is {patches[image].abs().max().item():g}: it must be finite and below "
            f"{torch.finfo(DTYPES[dtype]).max:.5g} in {dtype}. Set another vision.layer, or vision.final_norm=true, or "
            "data.dtype=bfloat16."
        )
    return kept


def moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each image's patches, both float32 [image, dim]."""
    exact = patches.double()
    return exact.mean(1).float(), exact.var(1, correction=0).float()


def pooled(mean: Tensor, square: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation over all patches of all images, float32 [dim].

    Args:
        mean: the sum of the images' means, float64 [dim].
        square: the sum of their variances and squared means, float64 [dim].
        images: how many.
    """
    mean = mean / images
    return mean.float(), (square / images - mean**2).clamp_min(0).sqrt().float()
