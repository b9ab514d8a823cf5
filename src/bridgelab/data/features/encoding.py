"""Encode images to patch features with a frozen encoder, and round these to a stored dtype."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.features.quantization import dequantized, quantized

# The stored dtype -> that of the features that are read.
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
    "int8": torch.float32,
}


class Encoder(Protocol):
    """What features need of a frozen vision encoder."""

    dim: int
    fingerprint: str

    def pixels(self, images: Tensor) -> Tensor:
        """Resize and normalize uint8 [batch, height, width, 3] to the encoder's input [batch, channel, row, column]."""
        ...

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode [batch, channel, row, column] to [batch, patch, dim]."""
        ...


def encode(encoder: Encoder, images: Sequence[np.ndarray]) -> Tensor:
    """Encode images of any sizes, uint8 [height, width, 3] each, to float32 [image, patch, dim] on the encoder's device."""
    with torch.no_grad():
        pixels = [encoder.pixels(torch.from_numpy(image)[None]) for image in images]
        return encoder(torch.cat(pixels)).float()


def rounded(patches: Tensor, dtype: str, names: Sequence[str]) -> Tensor:
    """Round features to a dtype. The relative error is at most 1/256 in bfloat16 and 1/2048 in float16.

    In int8 the error is at most 1/254 of the greatest deviation from the mean, of each channel in each image: see `quantization`.
    An encoder that runs in bfloat16 loses nothing in bfloat16. Bridges read standardised features, of which a value m
    deviations from zero is off by at most m/256 deviations.

    Args:
        patches: float32 [image, patch, dim].
        dtype: one of `DTYPES`.
        names: of the images, for messages.
    Raises:
        ValueError: if a feature is not finite in that dtype.
    """
    if dtype == "int8":
        mean, _ = moments(patches)
        features = dequantized(*quantized(patches, mean), mean)
    else:
        features = patches.to(DTYPES[dtype])
    finite = features.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        image = int((~finite).nonzero()[0])
        raise ValueError(
            f"a feature of {names[image]} is {patches[image].abs().max().item():g}: it must be finite and below "
            f"{torch.finfo(DTYPES[dtype]).max:.5g} in {dtype}. Set another vision.layer, or vision.final_norm=true, or "
            "data.dtype=bfloat16."
        )
    return features


def moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance over the patches of each image, both float32 [image, dim]."""
    exact = patches.double()
    return exact.mean(1).float(), exact.var(1, correction=0).float()


def pooled(mean: Tensor, square: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over all patches of all images, float32 [dim].

    Args:
        mean: the sum of the images' means, float64 [dim].
        square: the sum of their variances and squared means, float64 [dim].
        images: their number.
    """
    mean = mean / images
    return mean.float(), (square / images - mean**2).clamp_min(0).sqrt().float()
