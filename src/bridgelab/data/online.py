"""Features made whenever they are asked for, where a disk is too small to keep them."""

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.encoding import Encoder, encode, moments, pooled, rounded
from bridgelab.data.images import THREADS, check_image, read_image, refuse_broken, tried
from bridgelab.progress import Progress


class OnlineFeatures:
    """Patch features of a list of images, [image, patch, dim], by the encoder each time.

    They are what the store would give: to the last bit where the encoder sees batches of the same shape, else but for
    the rounding of its own arithmetic.

    Args:
        encoder: the frozen encoder.
        images: paths of images; their order is the order of rows.
        dtype: that features are rounded to, one of `DTYPES`.
        batch_size: images that the encoder sees at once.
        skip: leave broken images out, and say so in `left_out`.
    Raises:
        ValueError: if images are missing or broken, with a list.
    """

    source = "online"

    def __init__(
        self, encoder: Encoder, images: Sequence[str], *, dtype: str, batch_size: int = 64, skip: bool = False
    ):
        whole, self.left_out = tried(check_image, dict.fromkeys(images), "looking at images")
        if not skip:
            refuse_broken(self.left_out, len(images))
        self.encoder, self.dtype, self.batch_size = encoder, dtype, batch_size
        self.images = [path for path in images if path in whole]

    def __len__(self) -> int:
        return len(self.images)

    def get(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Features of the images in these rows [row, patch, dim], where the encoder is."""
        distinct, place = np.unique(np.asarray(rows), return_inverse=True)
        names = [self.images[row] for row in distinct]
        return rounded(self._encode(names), self.dtype, names)[torch.from_numpy(place)]

    def part(self, images: Sequence[str]) -> "OnlineFeatures":
        """Some of the images, as if they alone had been asked for."""
        made = copy.copy(self)
        made.__dict__.pop("_moments", None)
        made.images = list(images)
        return made

    @property
    def mean(self) -> Tensor:
        """Over all patches of all images, float32 [dim]: asked for first, each image is encoded for it."""
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """Likewise, the deviation."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        means = squares = torch.zeros((), dtype=torch.float64)
        with Progress("mean of the features", len(self.images)) as progress:
            for first in range(0, len(self.images), self.batch_size):
                patches = self._encode(self.images[first : first + self.batch_size])
                mean, variance = (one.cpu().double() for one in moments(patches))
                means, squares = means + mean.sum(0), squares + (variance + mean**2).sum(0)
                progress.to(first + len(patches))
        return pooled(means, squares, len(self.images))

    def _encode(self, names: Sequence[str]) -> Tensor:
        """float32 [name, patch, dim]."""
        with ThreadPoolExecutor(THREADS) as pool:
            images = list(pool.map(read_image, names))
        batches = range(0, len(images), self.batch_size)
        return torch.cat([encode(self.encoder, images[k : k + self.batch_size]) for k in batches])
