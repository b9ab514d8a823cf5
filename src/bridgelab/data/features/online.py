"""Image features computed at each use, for disks too small to store them."""

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.features.encoding import Encoder, encode, moments, pooled, rounded
from bridgelab.data.image_files import THREADS, check_image, read_image, refuse_broken, try_each
from bridgelab.progress import Progress


class OnlineFeatures:
    """Patch features of a list of images [image, patch, dim], encoded at each use.

    They equal those of the store: to the last bit if the encoder gets batches of the same shape, otherwise up to the rounding
    of its arithmetic.

    Args:
        encoder: the frozen encoder.
        images: paths; their order is the order of rows.
        dtype: to which features are rounded, one of `DTYPES`.
        batch_size: images that are encoded at once.
        left_out: the problems of images that were requested and are left out, by path.
    """

    source = "online"

    def __init__(
        self,
        encoder: Encoder,
        images: Sequence[str],
        *,
        dtype: str,
        batch_size: int = 64,
        left_out: Mapping[str, str] | None = None,
    ):
        self.encoder, self.dtype, self.batch_size = encoder, dtype, batch_size
        self.images, self.left_out = list(images), dict(left_out or {})

    @classmethod
    def checked(
        cls, encoder: Encoder, images: Sequence[str], *, skip: bool = False, **choices: Any
    ) -> "OnlineFeatures":
        """Return features of images after reading each of them once.

        Args:
            encoder: the frozen encoder.
            images: paths.
            skip: leave broken images out and list them in `left_out`.
            choices: `dtype` and `batch_size`.
        Raises:
            ValueError: if images are missing or broken, with a list.
        """
        intact, problems = try_each(check_image, dict.fromkeys(images), "looking at images")
        if not skip:
            refuse_broken(problems, len(images))
        return cls(encoder, [path for path in images if path in intact], left_out=problems, **choices)

    def __len__(self) -> int:
        return len(self.images)

    def get(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Return the features of these rows [row, patch, dim], on the encoder's device."""
        distinct, place = np.unique(np.asarray(rows), return_inverse=True)
        names = [self.images[row] for row in distinct]
        return rounded(self._encode(names), self.dtype, names)[torch.from_numpy(place)]

    def subset(self, images: Sequence[str]) -> "OnlineFeatures":
        """Return the features of some of the images, with mean and deviation of their own."""
        subset = copy.copy(self)
        subset.__dict__.pop("_moments", None)
        subset.images = list(images)
        return subset

    @property
    def mean(self) -> Tensor:
        """The mean over all patches of all images, float32 [dim]. The first use encodes each image once."""
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """The standard deviation over all patches of all images, float32 [dim]."""
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
