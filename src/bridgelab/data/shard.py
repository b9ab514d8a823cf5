"""One file of the feature store: rows of patch features, each with its image's hash and a checksum. Free of torch.

The layout is that of safetensors: a header in JSON, then the tensors `mean` and `variance` [row, dim] of each row's patches
and `features` [row, patch, dim], the last from the beginning of a page. The header holds the image and the checksum of
every row, and the file is named by the header's own hash: so the name vouches for every byte, and damage is known by row.
"""

import fcntl
import hashlib
import json
import math
import mmap
import os
import re
import uuid
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LAYOUT = 1  # raise it where a row's bytes change, or what a pixel means (`images.read_image`)
SUFFIX, PART = ".safetensors", ".part"
KINDS: dict[str, tuple[str, type]] = {  # safetensors' name, and numpy's type for the same bits
    "bfloat16": ("BF16", np.int16),
    "float16": ("F16", np.float16),
    "float32": ("F32", np.float32),
}
TYPES = dict(KINDS.values())
TENSORS = ("mean", "variance", "features")
PAGE = 4096
NAME = re.compile(r"[0-9a-f]{32}\.safetensors")


class ForeignError(ValueError):
    """A file that is not damaged, and no shard of this store."""


class Shard:
    """A file of rows, memory-mapped; it stays readable where the file is removed.

    Attributes:
        encoder: the fingerprint of the encoder that made it.
        dtype: of the features, one of `KINDS`.
        rows: how many the header tells of.
        features: [row, patch, dim], bfloat16 as its bits in int16; a file cut short has fewer rows here.
        mean: of each row's patches [row, dim].
        variance: likewise.
    Raises:
        FileNotFoundError: if it is not there.
        ForeignError: if it is something else than a shard.
        ValueError: if its header is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        if not NAME.fullmatch(path.name) or (path.exists() and not path.is_file()):
            raise ForeignError("is no file of the feature store, which names its own by a hash")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            header = file.read(min(int.from_bytes(start, "little"), size))
            if not size or _digest(start + header) != path.stem:
                raise ValueError("its header is damaged")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._parse(json.loads(header), 8 + len(header))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise ForeignError("has a header that is none of the feature store's") from error

    def _parse(self, told: dict[str, Any], data: int) -> None:
        about = told["__metadata__"]
        self.encoder: str = about["encoder"]
        self._images: str = about["images"]  # one string takes a fifth of a list's memory
        self.checksums = np.array([int(one, 16) for one in about["checksums"].split()], dtype=np.uint32)
        self.rows = len(self.checksums)
        self.dtype = {name: kind for kind, (name, _) in KINDS.items()}[told["features"]["dtype"]]
        dim = told["features"]["shape"][2]
        shapes = [[self.rows, dim], [self.rows, dim], [self.rows, told["features"]["shape"][1], dim]]
        for name, shape, kind in zip(TENSORS, shapes, ("float32", "float32", self.dtype), strict=True):
            start, end = told[name]["data_offsets"]
            size = math.prod(shape) * np.dtype(KINDS[kind][1]).itemsize
            whole = told[name]["shape"] == shape and told[name]["dtype"] == KINDS[kind][0]
            if not (
                whole and all(type(n) is int and n > 0 for n in shape) and start >= 0 and end - start == size
            ):
                raise ValueError(name)
        if len(self.images) != self.rows or not isinstance(self.encoder, str):
            raise ValueError("rows")
        self._spans: list[tuple[int, int]] = []  # of each tensor: where it starts, and the bytes of a row
        self.mean, self.variance, self.features = (self._array(told[name], data) for name in TENSORS)

    @property
    def images(self) -> list[str]:
        """The hash of each row's image."""
        return self._images.split()

    def damaged(self, rows: Iterable[int]) -> list[int]:
        """Those of some rows whose bytes are not what was written. Read, not mapped: a bad sector is an error, no signal.

        Raises:
            FileNotFoundError: if the file was removed.
        """
        with open(self.path, "rb", buffering=0) as file:
            return [row for row in rows if self._checksum(file.fileno(), row) != self.checksums[row]]

    def release(self) -> None:
        """Let the kernel take the pages that were read out of this process's memory; they stay in its cache."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _array(self, told: dict[str, Any], data: int) -> np.ndarray:
        kind, shape, start = TYPES[told["dtype"]], told["shape"][1:], data + told["data_offsets"][0]
        row = math.prod(shape) * np.dtype(kind).itemsize
        self._spans.append((start, row))
        there = min(self.rows, max(0, len(self._map) - start) // row)
        if not there:
            return np.empty((0, *shape), kind)
        return np.frombuffer(self._map, kind, there * math.prod(shape), start).reshape(there, *shape)

    def _checksum(self, file: int, row: int) -> int | None:
        found = 0
        for start, size in self._spans:
            try:
                found = zlib.crc32(os.pread(file, size, start + row * size), found)
            except OSError:
                return None
        return found


def write_shard(
    folder: Path,
    *,
    encoder: str,
    dtype: str,
    images: Sequence[str],
    mean: np.ndarray,
    variance: np.ndarray,
    features: np.ndarray,
) -> Path:
    """Write rows to a file that is whole or not there; a killed writer leaves a `.part`, locked while the writer lives.

    Args:
        folder: where it goes.
        encoder: the fingerprint.
        dtype: of the features, one of `KINDS`.
        images: the hash of each row's image.
        mean: of each row's patches, float32 [row, dim].
        variance: likewise.
        features: [row, patch, dim] in the numpy type of `KINDS`.
    """
    arrays = [np.ascontiguousarray(array) for array in (mean, variance, features)]
    checksums = []
    for parts in zip(*arrays, strict=True):
        found = 0
        for part in parts:
            found = zlib.crc32(part, found)
        checksums.append(f"{found:08x}")
    header = _header(
        {"encoder": encoder, "images": " ".join(images), "checksums": " ".join(checksums)},
        dict(zip(TENSORS, arrays, strict=True)),
        dict(zip(TENSORS, ("F32", "F32", KINDS[dtype][0]), strict=True)),
    )
    path = folder / f"{_digest(header)}{SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{path.stem}.{uuid.uuid4().hex}{PART}"
    try:
        with open(aside, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(header)
            for array in arrays:
                file.write(array.data)
            file.flush()
            os.fsync(file.fileno())
            os.rename(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(folder)
    return path


def _header(about: dict[str, str], arrays: dict[str, np.ndarray], kinds: dict[str, str]) -> bytes:
    """safetensors' own: its length, the JSON, and as many blanks as let the last tensor begin with a page."""
    told: dict[str, Any] = {"__metadata__": about}
    end = last = 0
    for name, array in arrays.items():
        last, end = end, end + array.nbytes
        told[name] = {"dtype": kinds[name], "shape": list(array.shape), "data_offsets": [last, end]}
    content = json.dumps(told).encode()
    content += b" " * (-(8 + len(content) + last) % PAGE)
    return len(content).to_bytes(8, "little") + content


def _digest(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()[:32]


def _sync(folder: Path) -> None:
    """Bring the folder's list of names to the disk, so that a name outlives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
