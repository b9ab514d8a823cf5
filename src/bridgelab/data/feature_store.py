"""The feature store: a frozen encoder sees each image once, and its patch features stay on disk.

A row is found by what it is: the encoder's fingerprint and the dtype name the folder, the hash of the image's file the row.
So benchmarks and runs share rows, and another encoder or another image is never taken for this one.
"""

import itertools
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from bridgelab.data.claims import claimed, groups
from bridgelab.data.encoding import DTYPES, Encoder, encode, moments, rounded
from bridgelab.data.images import THREADS, check_image, file_hash, listed, read_image, refuse_broken, tried
from bridgelab.data.mapped import MappedFeatures
from bridgelab.data.shard import Shard, write_shard
from bridgelab.data.store_folder import Shelf, shelf_name
from bridgelab.progress import Progress

ROWS, BYTES = 1024, 64 * 2**20  # a shard is written when it has so many, at the end of a batch
log = logging.getLogger(__name__)


class FeatureStore:
    """The features of one encoder in one dtype, for whatever images are asked for.

    Several processes may fill it at once: each image is encoded by one of them. They write shards of their own, each whole
    or not there, so that one may be killed at any moment. Every row that is asked for is checked against its checksum
    first, and one that is damaged is named, taken out, and encoded again.

    Args:
        root: folder of all stores.
        encoder: the frozen encoder.
        dtype: that features are kept in, one of `DTYPES`; see `encoding.rounded` for what it costs.
        batch_size: images that the encoder sees at once.
    Raises:
        ValueError: if there is no such dtype.
    """

    def __init__(self, root: Path, encoder: Encoder, *, dtype: str = "bfloat16", batch_size: int = 64):
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}. Set data.dtype.")
        self.encoder, self.dtype, self.batch_size = encoder, dtype, batch_size
        self.fingerprint = encoder.fingerprint
        self.shelf = Shelf(Path(root) / shelf_name(self.fingerprint, dtype))
        self.encoded = 0  # images, by this object
        self._places: dict[str, tuple[Shard, int]] = {}  # of the images asked for, by hash
        self._paths: dict[str, str] = {}

    def features(
        self, images: Sequence[str], *, skip: bool = False, part: tuple[int, int] = (0, 1)
    ) -> MappedFeatures:
        """Features of these images, encoded where they are not there yet.

        Args:
            images: paths; their order is the order of rows.
            skip: leave broken images out, and say so in `left_out`.
            part: (i, n), where n processes do this: which of n parts of the work to begin with. What the others have not
                done in the end is done too.
        Raises:
            ValueError: if images are missing or broken, with a list; or a feature is not finite in the dtype.
        """
        images = list(dict.fromkeys(images))
        hashes, problems = tried(file_hash, images, "reading images")
        self._paths = {one: path for path, one in hashes.items()}
        self._find(anew=True)
        for path, why in self.shelf.foreign.items():
            log.warning("%s %s: passed over", path, why)
        self._take_out_damaged()
        missing = self._missing(self._paths)
        _, broken = tried(lambda one: check_image(self._paths[one]), missing, "looking at images")
        problems |= {path: broken[one] for path, one in hashes.items() if one in broken}
        if not skip:
            refuse_broken(problems, len(images))
        self._paths = {one: path for one, path in self._paths.items() if one not in broken}
        if not self._paths:
            raise ValueError(
                f"{len(images)} images were given, and {len(problems)} of them are broken: a feature store needs at least 1 "
                f"whole one. Check the benchmark's split.\n{listed(problems)}"
            )
        self._fill(part)
        log.info("%s: %d images, %d encoded now", self.shelf.folder, len(self._paths), self.encoded)
        places = {path: self._places[one] for path, one in hashes.items() if one not in broken}
        left_out = {path: problems[path] for path in images if path in problems}
        return MappedFeatures(places, self.dtype, left_out)

    def _missing(self, hashes: Iterable[str]) -> list[str]:
        return [one for one in hashes if one not in self._places]

    def _find(self, *, anew: bool = False) -> None:
        """Look for rows in the shards that have come since."""
        if anew:
            self.shelf.forget()
            self._places.clear()
        for shard in self.shelf.fresh():
            for row, one in enumerate(shard.images):
                if one in self._paths:
                    self._places.setdefault(one, (shard, row))
        for path, why in self.shelf.unreadable.items():
            log.warning("%s: %s, so none of its rows can be trusted: they are encoded again", path, why)
        if self.shelf.unreadable:
            self.shelf.discard_unreadable()

    def _take_out_damaged(self) -> None:
        while damaged := self._damaged():
            for shard, rows in damaged.items():
                images = shard.images
                names = ", ".join(self._paths[images[row]] for row in rows)
                log.warning("%s: %d rows are damaged and encoded again: %s", shard.path, len(rows), names)
                self.shelf.take_out(shard)
            self._find(anew=True)

    def _damaged(self) -> dict[Shard, list[int]]:
        """The rows asked for that are not what was written."""
        rows_of: dict[Shard, list[int]] = {}
        for shard, row in self._places.values():
            rows_of.setdefault(shard, []).append(row)
        try:
            with (
                ThreadPoolExecutor(THREADS) as pool,
                Progress("checking features", len(self._places), "rows") as progress,
            ):
                found, done = {}, 0
                for shard, damaged in zip(
                    rows_of, pool.map(lambda each: each.damaged(sorted(rows_of[each])), rows_of), strict=True
                ):
                    done += len(rows_of[shard])
                    progress.to(done)
                    if damaged:
                        found[shard] = damaged
                return found
        except FileNotFoundError:  # another process has just taken rows out of a shard
            self._find(anew=True)
            return self._damaged()

    def _fill(self, part: tuple[int, int]) -> None:
        """Encode what is missing, one group of images after the other; others' groups are waited for in the end."""
        turns = groups(self._paths)
        first = part[0] * len(turns) // part[1]
        missing = len(self._paths) - len(self._places)
        if not missing:
            return
        with Progress("encoding", missing) as progress, ThreadPoolExecutor(THREADS) as pool:
            for wait in (False, True):
                for buckets, hashes in turns[first:] + turns[:first]:
                    if self._missing(hashes):
                        with claimed(self.shelf.folder / "claims", buckets, wait) as own:
                            if own:
                                self._find()
                                self._encode(self._missing(hashes), pool, progress)

    def _encode(self, hashes: Sequence[str], pool: ThreadPoolExecutor, progress: Progress) -> None:
        made: list[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]] = []
        for batch, images in _ahead(pool, self._read, self._batches(sorted(hashes))):
            patches = encode(self.encoder, images)
            kept = rounded(patches, self.dtype, [self._paths[one] for one in batch])
            mean, variance = (one.cpu().numpy() for one in moments(patches))
            bits = kept.view(torch.int16) if self.dtype == "bfloat16" else kept  # numpy has no bfloat16
            made.append((batch, mean, variance, bits.cpu().numpy()))
            self.encoded += len(batch)
            rows = sum(len(one[0]) for one in made)
            progress.to(progress.total - len(self._paths) + len(self._places) + rows)
            if rows >= ROWS or sum(one[3].nbytes for one in made) >= BYTES:
                self._write(made)
                made = []
        if made:
            self._write(made)

    def _batches(self, hashes: Sequence[str]) -> Iterator[list[str]]:
        """As many images as the encoder sees at once."""
        for first in range(0, len(hashes), self.batch_size):
            yield list(hashes[first : first + self.batch_size])

    def _read(self, one: str) -> np.ndarray:
        path = self._paths[one]
        image = read_image(path)
        if file_hash(path) != one:
            raise ValueError(
                f"image {path} was changed after the features were asked for: an image must stay as it is while it is read. "
                "Start again."
            )
        return image

    def _write(self, made: Sequence[tuple[list[str], np.ndarray, np.ndarray, np.ndarray]]) -> None:
        images, mean, variance, features = zip(*made, strict=True)
        row = features[0][0].nbytes
        missing, free = len(self._paths) - len(self._places), shutil.disk_usage(self.shelf.folder).free
        if missing * row > free:
            raise ValueError(
                f"{missing} images of {row / 1e6:.2f} MB need {missing * row / 1e9:.1f} GB, and {self.shelf.folder} has "
                f"{free / 1e9:.1f} GB: the disk must hold all. Set paths.features to another one, or data.features=online."
            )
        write_shard(
            self.shelf.folder,
            encoder=self.fingerprint,
            dtype=self.dtype,
            images=list(itertools.chain(*images)),
            mean=np.concatenate(mean),
            variance=np.concatenate(variance),
            features=np.concatenate(features),
        )
        self._find()


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], np.ndarray], batches: Iterable[list[str]]
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Each batch and what is read for it; the next one is read while this one is used."""
    waiting: tuple[list[str], list[Future]] | None = None
    for batch in batches:
        following = (batch, [pool.submit(read, one) for one in batch])
        if waiting:
            yield waiting[0], [one.result() for one in waiting[1]]
        waiting = following
    if waiting:
        yield waiting[0], [one.result() for one in waiting[1]]
