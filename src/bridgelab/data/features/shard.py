"""One file of the feature store: rows of patch features, each with its image's hash and a checksum. Free of torch.

The layout is that of safetensors: a JSON header, then the tensors `mean` and `variance` [row, dim] of each row's patches, for int8
also `scale` [row, dim], and `features` [row, patch, dim], which starts at a page boundary. The header holds the image hash and the
checksum of every row.
The file is named by the hash of its header, so that the name covers every byte, and damage is detected row by row.
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

LAYOUT = 1  # increase it when the bytes of a row change, or what a pixel means (`images.read_image`)
SUFFIX, PART = ".safetensors", ".part"
KINDS: dict[str, tuple[str, type]] = {  # safetensors' name, and numpy's type for the same bits
    "bfloat16": ("BF16", np.int16),
    "float16": ("F16", np.float16),
    "float32": ("F32", np.float32),
    "int8": ("I8", np.int8),  # see `quantization`
}
TYPES = dict(KINDS.values())
PAGE = 4096
NAME = re.compile(r"[0-9a-f]{32}\.safetensors")


class ForeignError(ValueError):
    """A file that is not damaged, but is not a shard of this store."""


class Shard:
    """A memory-mapped file of rows, readable even after the file is removed.

    Attributes:
        encoder: the fingerprint of the encoder.
        dtype: of the features, one of `KINDS`.
        rows: the number of rows, by the header.
        features: [row, patch, dim], bfloat16 as its bits in int16; a truncated file has fewer rows here.
        mean: of each row's patches [row, dim].
        variance: of each row's patches [row, dim].
        scale: of each row's codes [row, dim]; None unless the dtype is int8.
    Raises:
        FileNotFoundError: if it is missing.
        ForeignError: if it is not a shard.
        ValueError: if its header is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        if not NAME.fullmatch(path.name) or (path.exists() and not path.is_file()):
            raise ForeignError("is not a file of the feature store, which names its own by a hash")
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

    def _parse(self, header: dict[str, Any], data: int) -> None:
        about = header["__metadata__"]
        self.encoder: str = about["encoder"]
        self._images: str = about["images"]  # a single string takes a fifth of the memory of a list
        self.checksums = np.array(
            [int(checksum, 16) for checksum in about["checksums"].split()], dtype=np.uint32
        )
        self.rows = len(self.checksums)
        self.dtype = {name: kind for kind, (name, _) in KINDS.items()}[header["features"]["dtype"]]
        dim = header["features"]["shape"][2]
        names = tensor_names(self.dtype)
        shapes = {name: [self.rows, dim] for name in names}
        shapes["features"] = [self.rows, header["features"]["shape"][1], dim]
        for name, shape in shapes.items():
            kind = self.dtype if name == "features" else "float32"
            start, end = header[name]["data_offsets"]
            size = math.prod(shape) * np.dtype(KINDS[kind][1]).itemsize
            as_declared = header[name]["shape"] == shape and header[name]["dtype"] == KINDS[kind][0]
            if not (
                as_declared
                and all(type(n) is int and n > 0 for n in shape)
                and start >= 0
                and end - start == size
            ):
                raise ValueError(name)
        if len(self.images) != self.rows or not isinstance(self.encoder, str):
            raise ValueError("rows")
        self._spans: list[tuple[int, int]] = []  # of each tensor: its start, and the bytes per row
        arrays = {name: self._array(header[name], data) for name in names}
        self.mean, self.variance, self.features = arrays["mean"], arrays["variance"], arrays["features"]
        self.scale = arrays.get("scale")

    @property
    def images(self) -> list[str]:
        """The image hash of each row."""
        return self._images.split()

    def damaged(self, rows: Iterable[int]) -> list[int]:
        """Return the rows whose bytes differ from what was written.

        The file is read, not mapped, so that a bad sector is an error and not a signal.

        Raises:
            FileNotFoundError: if the file was removed.
        """
        with open(self.path, "rb", buffering=0) as file:
            return [row for row in rows if self._checksum(file.fileno(), row) != self.checksums[row]]

    def release(self) -> None:
        """Drop the pages that were read from this process's memory; they stay in the kernel's cache."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _array(self, tensor: dict[str, Any], data: int) -> np.ndarray:
        kind, shape, start = TYPES[tensor["dtype"]], tensor["shape"][1:], data + tensor["data_offsets"][0]
        row = math.prod(shape) * np.dtype(kind).itemsize
        self._spans.append((start, row))
        present = min(self.rows, max(0, len(self._map) - start) // row)
        if not present:
            return np.empty((0, *shape), kind)
        return np.frombuffer(self._map, kind, present * math.prod(shape), start).reshape(present, *shape)

    def _checksum(self, file: int, row: int) -> int | None:
        checksum = 0
        for start, size in self._spans:
            try:
                checksum = zlib.crc32(os.pread(file, size, start + row * size), checksum)
            except OSError:
                return None
        return checksum


def tensor_names(dtype: str) -> tuple[str, ...]:
    """Return the names of the tensors of a file, in their order. All but `features` are float32 [row, dim]."""
    return ("mean", "variance", *(("scale",) if dtype == "int8" else ()), "features")


def row_bytes(patches: int, dim: int, dtype: str) -> int:
    """Return the bytes of a row, without its share of the header, about 73."""
    codes = patches * dim * np.dtype(KINDS[dtype][1]).itemsize
    return codes + 4 * dim * (len(tensor_names(dtype)) - 1)


def write_shard(
    folder: Path,
    *,
    encoder: str,
    dtype: str,
    images: Sequence[str],
    mean: np.ndarray,
    variance: np.ndarray,
    features: np.ndarray,
    scale: np.ndarray | None = None,
) -> Path:
    """Write rows to a `.part` file, locked while the writer lives, and rename it. A killed writer leaves the `.part` file.

    Args:
        folder: of the store.
        encoder: the fingerprint of the encoder.
        dtype: of the features, one of `KINDS`.
        images: the image hash of each row.
        mean: of each row's patches, float32 [row, dim].
        variance: of each row's patches, float32 [row, dim].
        features: [row, patch, dim] in the numpy type of `KINDS`.
        scale: of each row's codes, float32 [row, dim]; for int8 alone.
    """
    given = {"mean": mean, "variance": variance, "scale": scale, "features": features}
    names = tensor_names(dtype)
    arrays = {name: np.ascontiguousarray(given[name]) for name in names}
    checksums = []
    for row in zip(*arrays.values(), strict=True):
        checksum = 0
        for array in row:
            checksum = zlib.crc32(array, checksum)
        checksums.append(f"{checksum:08x}")
    header = _header(
        {"encoder": encoder, "images": " ".join(images), "checksums": " ".join(checksums)},
        arrays,
        dict.fromkeys(names, "F32") | {"features": KINDS[dtype][0]},
    )
    path = folder / f"{_digest(header)}{SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{path.stem}.{uuid.uuid4().hex}{PART}"
    try:
        with open(partial, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(header)
            for array in arrays.values():
                file.write(array.data)
            file.flush()
            os.fsync(file.fileno())
            os.rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(folder)
    return path


def _header(about: dict[str, str], arrays: dict[str, np.ndarray], kinds: dict[str, str]) -> bytes:
    """Return a safetensors header: its length, the JSON, and blanks up to where the last tensor starts at a page."""
    header: dict[str, Any] = {"__metadata__": about}
    end = last = 0
    for name, array in arrays.items():
        last, end = end, end + array.nbytes
        header[name] = {"dtype": kinds[name], "shape": list(array.shape), "data_offsets": [last, end]}
    content = json.dumps(header).encode()
    content += b" " * (-(8 + len(content) + last) % PAGE)
    return len(content).to_bytes(8, "little") + content


def _digest(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()[:32]


def _sync(folder: Path) -> None:
    """Write the folder's directory entries to disk, so that a new name survives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
