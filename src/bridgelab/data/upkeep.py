"""What stands in the feature store, whether it is whole, and what nobody can use any more. Free of torch."""

import difflib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bridgelab.data.claims import BUCKETS, claimed
from bridgelab.data.images import THREADS
from bridgelab.data.shard import Shard
from bridgelab.data.store_folder import shelves
from bridgelab.progress import Progress


@dataclass(frozen=True)
class Standing:
    """One encoder's features in one dtype.

    Args:
        name: of its folder: the encoder's fingerprint, the dtype, the layout's version.
        images: rows.
        row: patches and channels of a row; None where there is none.
        shards: files.
        size: their bytes.
        left: files that killed writers left, and shards whose header is damaged.
        foreign: files that are none of its shards.
    """

    name: str
    images: int
    row: tuple[int, int] | None
    shards: int
    size: int
    left: int
    foreign: int


def info(root: Path) -> list[Standing]:
    """What there is, read off the headers."""
    found = []
    for shelf in shelves(root):
        images = size = 0
        row = None
        there = shelf.fresh()
        for shard in there:
            images, size = images + shard.rows, size + shard.path.stat().st_size
            row = shard.features.shape[1], shard.features.shape[2]
        left = len(shelf.leftovers()) + len(shelf.unreadable)
        found.append(Standing(shelf.folder.name, images, row, len(there), size, left, len(shelf.foreign)))
    return found


def verify(root: Path) -> tuple[int, list[str], list[str]]:
    """Read every byte there is.

    Returns:
        how many rows there are, a line for each that is damaged and each file whose header is, and a line for each file that
        does not belong where it lies.
    """
    shards: list[Shard] = []
    lines, foreign = [], []
    for shelf in shelves(root):
        shards += shelf.fresh()
        lines += [f"{path}: {why}" for path, why in shelf.unreadable.items()]
        foreign += [f"{path} {why}" for path, why in shelf.foreign.items()]
    rows = sum(shard.rows for shard in shards)
    done = 0
    with ThreadPoolExecutor(THREADS) as pool, Progress("checking", rows, "rows") as progress:
        checked = pool.map(lambda shard: shard.damaged(range(shard.rows)), shards)
        for shard, damaged in zip(shards, checked, strict=True):
            images = shard.images
            lines += [f"{shard.path}: row {row}, of the image {images[row]}, is damaged" for row in damaged]
            done += shard.rows
            progress.to(done)
    return rows, lines, foreign


def prune(root: Path, stores: Sequence[str] = ()) -> list[str]:
    """Remove what nobody can use: what killed writers left, what is damaged, and rows that stand twice.

    Args:
        root: folder of all stores.
        stores: names of those that are to go whole.
    Returns:
        a line for each thing that went.
    Raises:
        ValueError: if there is no such store, or one is being filled.
    """
    there = {shelf.folder.name: shelf for shelf in shelves(root)}
    lines = []
    for name in stores:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            raise ValueError(
                f"store {name!r} is none of {', '.join(there) or 'those in ' + str(root) + ', which has none'}."
                + (f" Did you mean {near[0]!r}?" if near else "")
            )
        folder = there.pop(name).folder
        with claimed(folder / "claims", range(BUCKETS), wait=False) as own:
            if not own:
                raise ValueError(f"{folder} is being filled: one that goes must be idle. Wait until it is.")
            shutil.rmtree(folder)
        lines.append(f"{folder}: whole")
    for shelf in there.values():
        for path in shelf.leftovers():
            path.unlink(missing_ok=True)
            lines.append(f"{path}: its writer was killed")
        met: set[str] = set()
        for shard in shelf.fresh():
            images = shard.images
            twice = {row for row, one in enumerate(images) if one in met}
            damaged = set(shard.damaged(range(shard.rows)))
            met |= {images[row] for row in range(shard.rows) if row not in damaged}
            if gone := twice | damaged:
                shelf.take_out(shard, twice)
                lines.append(f"{shard.path}: {len(gone)} rows, {len(damaged)} of them damaged")
        if shelf.unreadable:
            lines += [f"{path}: {why}" for path, why in shelf.unreadable.items()]
            shelf.discard_unreadable()
    return lines
