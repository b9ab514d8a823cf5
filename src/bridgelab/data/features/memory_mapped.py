"""Image features from memory-mapped shards: what a training step reads."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.features.encoding import DTYPES, pooled
from bridgelab.data.features.quantization import dequantized
from bridgelab.data.features.shard import Shard

CHUNK = 4096  # images whose moments are added up at once


class MappedFeatures:
    """Patch features of a list of images [image, patch, dim], from the store.

    Args:
        places: shard and row of each image, by path, in the order of rows.
        dtype: of the features, one of `DTYPES`.
        left_out: the problems of images that were requested and are left out, by path.
        hashes: the start of each image file's SHA-256 as an integer, in the order of rows; None if they are not known.
    """

    source = "store"

    def __init__(
        self,
        places: Mapping[str, tuple[Shard, int]],
        dtype: str,
        left_out: Mapping[str, str] | None = None,
        hashes: np.ndarray | None = None,
    ):
        self.images = list(places)
        self.dtype = dtype
        self.left_out, self.hashes = dict(left_out or {}), hashes
        self._shards = list(dict.fromkeys(shard for shard, _ in places.values()))
        number = {shard: k for k, shard in enumerate(self._shards)}
        self._shard = np.array([number[shard] for shard, _ in places.values()])
        self._row = np.array([row for _, row in places.values()])
        self._arrays = [shard.features for shard in self._shards]

    def __len__(self) -> int:
        return len(self.images)

    def get(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Return the features of these rows [row, patch, dim], in the dtype of the store; of int8 in float32."""
        rows, arrays = np.asarray(rows), self._arrays
        shards = self._shard[rows].tolist()
        places = list(zip(shards, self._row[rows].tolist(), strict=True))
        read = np.concatenate([arrays[shard][row] for shard, row in places])
        features = torch.from_numpy(read).view(len(rows), -1, read.shape[-1])
        if self.dtype == "int8":
            features = dequantized(features, self._of_rows("scale", places), self._of_rows("mean", places))
        for shard in set(shards):
            # Otherwise a process would seem to hold all that it ever read: a page fault maps up to 2 MB around a row.
            self._shards[shard].release()
        return features.view(DTYPES[self.dtype])

    def _of_rows(self, name: str, places: Sequence[tuple[int, int]]) -> Tensor:
        """Return the means or scales of rows, float32 [row, dim]."""
        return torch.from_numpy(np.stack([getattr(self._shards[shard], name)[row] for shard, row in places]))

    def subset(self, images: Sequence[str]) -> "MappedFeatures":
        """Return the features of some of the images, rows in their order, with mean and deviation of their own."""
        row_of = {path: row for row, path in enumerate(self.images)}
        rows = [row_of[path] for path in images]
        subset = copy.copy(self)
        subset.__dict__.pop("_moments", None)
        subset.images, subset._shard, subset._row = list(images), self._shard[rows], self._row[rows]
        subset.hashes = None if self.hashes is None else self.hashes[rows]
        return subset

    @property
    def mean(self) -> Tensor:
        """The mean over all patches of all images, float32 [dim], before rounding."""
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """The standard deviation over all patches of all images, float32 [dim], before rounding."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        # In the order of the images, not of the shards: the same images give the same moments to the last bit.
        means = squares = np.zeros((), dtype=np.float64)
        places = [(self._shards[shard], row) for shard, row in zip(self._shard, self._row, strict=True)]
        for first in range(0, len(places), CHUNK):
            chunk = places[first : first + CHUNK]
            mean = np.stack([shard.mean[row] for shard, row in chunk]).astype(np.float64)
            variance = np.stack([shard.variance[row] for shard, row in chunk])
            means, squares = means + mean.sum(0), squares + (variance + mean**2).sum(0)
        return pooled(torch.from_numpy(means), torch.from_numpy(squares), len(places))
