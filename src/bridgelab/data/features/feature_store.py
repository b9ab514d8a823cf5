"""The feature store: a frozen encoder encodes each image once, and the patch features stay on disk.

Rows are addressed by content: the encoder's fingerprint and the dtype name the folder, the hash of the image file names the
row. So benchmarks and runs share rows, and features of another encoder or image are never used by mistake.
"""

import itertools
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from bridgelab.data.features.claims import claimed, groups
from bridgelab.data.features.encoding import DTYPES, Encoder, encode, moments, rounded
from bridgelab.data.features.memory_mapped import MappedFeatures
from bridgelab.data.features.quantization import quantized
from bridgelab.data.features.shard import Shard, write_shard
from bridgelab.data.features.store_folder import StoreFolder, store_name
from bridgelab.data.image_files import (
    THREADS,
    check_image,
    file_hash,
    list_problems,
    read_image,
    refuse_broken,
    try_each,
)
from bridgelab.progress import Progress

ROWS, BYTES = 1024, 64 * 2**20  # a shard is written at the end of the batch that reaches one of them
log = logging.getLogger(__name__)


class FeatureStore:
    """The features of one encoder in one dtype.

    Several processes may fill the store at once: each image is encoded by one of them. Each writes its own shards, whole or
    not at all, so that it may be killed at any moment. Every requested row is checked against its checksum first. A damaged
    row is logged, removed, and encoded again.

    Args:
        root: folder of all stores.
        encoder: the frozen encoder.
        dtype: of the stored features, one of `DTYPES`; see `encoding.rounded` for its error.
        batch_size: images that are encoded at once.
    Raises:
        ValueError: if there is no such dtype.
    """

    def __init__(self, root: Path, encoder: Encoder, *, dtype: str = "bfloat16", batch_size: int = 64):
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}. Set data.dtype.")
        self.encoder, self.dtype, self.batch_size = encoder, dtype, batch_size
        self.fingerprint = encoder.fingerprint
        self.folder = StoreFolder(Path(root) / store_name(self.fingerprint, dtype))
        self.encoded = 0  # images, by this object
        self._places: dict[str, tuple[Shard, int]] = {}  # of the requested images, by hash
        self._paths: dict[str, str] = {}

    def features(
        self, images: Sequence[str], *, skip: bool = False, part: tuple[int, int] = (0, 1)
    ) -> MappedFeatures:
        """Return features of images, after encoding those that are not stored.

        Args:
            images: paths; their order is the order of rows.
            skip: leave broken images out and list them in `left_out`.
            part: (i, n): of n processes this is the i-th, and starts with the i-th part of the work. In the end it also does
                what the others have not done.
        Raises:
            ValueError: if images are missing or broken, with a list, or a feature is not finite in the dtype.
        """
        images = list(dict.fromkeys(images))
        hashes, problems = try_each(file_hash, images, "reading images")
        self._paths = {digest: path for path, digest in hashes.items()}
        self._find(reset=True)
        for path, why in self.folder.foreign.items():
            log.warning("%s %s: passed over", path, why)
        self._remove_damaged()
        missing = self._missing(self._paths)
        _, broken = try_each(lambda digest: check_image(self._paths[digest]), missing, "looking at images")
        problems |= {path: broken[digest] for path, digest in hashes.items() if digest in broken}
        if not skip:
            refuse_broken(problems, len(images))
        self._paths = {digest: path for digest, path in self._paths.items() if digest not in broken}
        if not self._paths:
            raise ValueError(
                f"{len(images)} images were given, and {len(problems)} of them are broken: a feature store needs at least 1 "
                f"whole one. Check the benchmark's split.\n{list_problems(problems)}"
            )
        self._fill(part)
        log.info("%s: %d images, %d encoded now", self.folder.path, len(self._paths), self.encoded)
        places = {path: self._places[digest] for path, digest in hashes.items() if digest not in broken}
        left_out = {path: problems[path] for path in images if path in problems}
        # Eight bytes of each tell images apart, where all would take a hundred megabytes a million.
        short = np.array([int(hashes[path][:16], 16) for path in places], dtype="<u8")
        return MappedFeatures(places, self.dtype, left_out, short)

    def _missing(self, hashes: Iterable[str]) -> list[str]:
        return [digest for digest in hashes if digest not in self._places]

    def _find(self, *, reset: bool = False) -> None:
        """Find requested rows in new shards, or in all shards if `reset`."""
        if reset:
            self.folder.reset()
            self._places.clear()
        for shard in self.folder.new_shards():
            for row, digest in enumerate(shard.images):
                if digest in self._paths:
                    self._places.setdefault(digest, (shard, row))
        for path, why in self.folder.unreadable.items():
            log.warning("%s: %s, so none of its rows can be trusted: they are encoded again", path, why)
        if self.folder.unreadable:
            self.folder.discard_unreadable()

    def _remove_damaged(self) -> None:
        while damaged := self._damaged():
            for shard, rows in damaged.items():
                images = shard.images
                names = ", ".join(self._paths[images[row]] for row in rows)
                log.warning("%s: %d rows are damaged and encoded again: %s", shard.path, len(rows), names)
                self.folder.remove_rows(shard)
            self._find(reset=True)

    def _damaged(self) -> dict[Shard, list[int]]:
        """Return the requested rows that are damaged, by shard."""
        rows_of: dict[Shard, list[int]] = {}
        for shard, row in self._places.values():
            rows_of.setdefault(shard, []).append(row)
        try:
            with (
                ThreadPoolExecutor(THREADS) as pool,
                Progress("checking features", len(self._places), "rows") as progress,
            ):
                damaged_rows, done = {}, 0
                for shard, damaged in zip(
                    rows_of,
                    pool.map(lambda shard: shard.damaged(sorted(rows_of[shard])), rows_of),
                    strict=True,
                ):
                    done += len(rows_of[shard])
                    progress.to(done)
                    if damaged:
                        damaged_rows[shard] = damaged
                return damaged_rows
        except FileNotFoundError:  # another process has just removed rows from a shard
            self._find(reset=True)
            return self._damaged()

    def _fill(self, part: tuple[int, int]) -> None:
        """Encode what is missing, group by group, and in the end wait for the groups that other processes encode."""
        turns = groups(self._paths)
        first = part[0] * len(turns) // part[1]
        missing = len(self._paths) - len(self._places)
        if not missing:
            return
        log.info("encoding %s of %s images", f"{missing:,}", f"{len(self._paths):,}")
        with Progress("encoding", missing) as progress, ThreadPoolExecutor(THREADS) as pool:
            for wait in (False, True):
                for buckets, hashes in turns[first:] + turns[:first]:
                    if self._missing(hashes):
                        with claimed(self.folder.path / "claims", buckets, wait) as own:
                            if own:
                                self._find()
                                self._encode(self._missing(hashes), pool, progress)

    def _encode(self, hashes: Sequence[str], pool: ThreadPoolExecutor, progress: Progress) -> None:
        encoded: list[tuple[list[str], dict[str, np.ndarray]]] = []
        for batch, images in _ahead(pool, self._read, self._batches(sorted(hashes))):
            patches = encode(self.encoder, images)
            encoded.append((batch, self._arrays(patches, [self._paths[digest] for digest in batch])))
            self.encoded += len(batch)
            rows = sum(len(digests) for digests, _ in encoded)
            progress.to(progress.total - len(self._paths) + len(self._places) + rows)
            if rows >= ROWS or sum(arrays["features"].nbytes for _, arrays in encoded) >= BYTES:
                self._write(encoded)
                encoded = []
        if encoded:
            self._write(encoded)

    def _arrays(self, patches: torch.Tensor, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return what a shard keeps of float32 features [image, patch, dim], by the name of its tensor."""
        kept = rounded(patches, self.dtype, names)
        mean, variance = moments(patches)
        tensors = {"mean": mean, "variance": variance, "features": kept}
        if self.dtype == "bfloat16":  # which numpy has not
            tensors["features"] = kept.view(torch.int16)
        elif self.dtype == "int8":
            tensors["features"], tensors["scale"] = quantized(patches, mean)
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def _batches(self, hashes: Sequence[str]) -> Iterator[list[str]]:
        """Yield as many images as the encoder takes at once."""
        for first in range(0, len(hashes), self.batch_size):
            yield list(hashes[first : first + self.batch_size])

    def _read(self, digest: str) -> np.ndarray:
        path = self._paths[digest]
        image = read_image(path)
        if file_hash(path) != digest:
            raise ValueError(
                f"image {path} was changed after the features were requested: an image must stay as it is while it is read. "
                "Start again."
            )
        return image

    def _write(self, encoded: Sequence[tuple[list[str], dict[str, np.ndarray]]]) -> None:
        images, parts = zip(*encoded, strict=True)
        row = sum(array[0].nbytes for array in parts[0].values())
        missing, free = len(self._paths) - len(self._places), shutil.disk_usage(self.folder.path).free
        if missing * row > free:
            raise ValueError(
                f"{missing} images of {row / 1e6:.2f} MB need {missing * row / 1e9:.1f} GB, and {self.folder.path} has "
                f"{free / 1e9:.1f} GB: the disk must hold all. Set paths.features to another one, or data.features=online."
            )
        write_shard(
            self.folder.path,
            encoder=self.fingerprint,
            dtype=self.dtype,
            images=list(itertools.chain(*images)),
            **{name: np.concatenate([arrays[name] for arrays in parts]) for name in parts[0]},
        )
        self._find()


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], np.ndarray], batches: Iterable[list[str]]
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield each batch with its images; the next batch is read while this one is used."""
    waiting: tuple[list[str], list[Future]] | None = None
    for batch in batches:
        following = (batch, [pool.submit(read, digest) for digest in batch])
        if waiting:
            yield waiting[0], [future.result() for future in waiting[1]]
        waiting = following
    if waiting:
        yield waiting[0], [future.result() for future in waiting[1]]
