"""List, verify and prune the feature store. Free of torch."""

import difflib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bridgelab.data.features.claims import BUCKETS, claimed
from bridgelab.data.features.shard import Shard
from bridgelab.data.features.store_folder import store_folders
from bridgelab.data.image_files import THREADS
from bridgelab.progress import Progress


@dataclass(frozen=True)
class StoreInfo:
    """One encoder's features in one dtype.

    Args:
        name: of its folder: the encoder's fingerprint, the dtype, the layout's version.
        images: the number of rows.
        row: patches and channels of a row; None if there are no rows.
        shards: the number of files.
        size: of the files, in bytes.
        left: the number of files of killed writers and of shards whose header is damaged.
        foreign: the number of files that are not shards of this store.
    """

    name: str
    images: int
    row: tuple[int, int] | None
    shards: int
    size: int
    left: int
    foreign: int


def info(root: Path) -> list[StoreInfo]:
    """Return what the store holds, from the shards' headers."""
    stores = []
    for folder in store_folders(root):
        images = size = 0
        row = None
        shards = folder.new_shards()
        for shard in shards:
            images, size = images + shard.rows, size + shard.path.stat().st_size
            row = shard.features.shape[1], shard.features.shape[2]
        left = len(folder.leftovers()) + len(folder.unreadable)
        stores.append(StoreInfo(folder.path.name, images, row, len(shards), size, left, len(folder.foreign)))
    return stores


def verify(root: Path) -> tuple[int, list[str], list[str]]:
    """Check every byte of the store.

    Returns:
        The number of rows, a line for each damaged row and each file with a damaged header, and a line for each file that does
        not belong in its folder.
    """
    shards: list[Shard] = []
    lines, foreign = [], []
    for folder in store_folders(root):
        shards += folder.new_shards()
        lines += [f"{path}: {why}" for path, why in folder.unreadable.items()]
        foreign += [f"{path} {why}" for path, why in folder.foreign.items()]
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
    """Remove what nobody can use: files of killed writers, damaged rows, and rows that are stored twice.

    Args:
        root: folder of all stores.
        stores: names of stores to remove entirely.
    Returns:
        A line for each thing removed.
    Raises:
        ValueError: if there is no such store, or it is being written.
    """
    folders = {folder.path.name: folder for folder in store_folders(root)}
    lines = []
    for name in stores:
        if name not in folders:
            near = difflib.get_close_matches(name, folders, n=1)
            raise ValueError(
                f"there is no store {name!r} in {root}, which has {', '.join(folders) or 'no store'}."
                + (f" Did you mean {near[0]!r}?" if near else "")
            )
        path = folders.pop(name).path
        with claimed(path / "claims", range(BUCKETS), wait=False) as own:
            if not own:
                raise ValueError(
                    f"{path} is being written: only an idle store can be pruned. Wait until its writers have ended."
                )
            shutil.rmtree(path)
        lines.append(f"{path}: whole")
    for folder in folders.values():
        for path in folder.leftovers():
            path.unlink(missing_ok=True)
            lines.append(f"{path}: its writer was killed")
        known: set[str] = set()
        for shard in folder.new_shards():
            images = shard.images
            twice = {row for row, image in enumerate(images) if image in known}
            damaged = set(shard.damaged(range(shard.rows)))
            known |= {images[row] for row in range(shard.rows) if row not in damaged}
            if removed := twice | damaged:
                folder.remove_rows(shard, twice)
                lines.append(f"{shard.path}: {len(removed)} rows, {len(damaged)} of them damaged")
        if folder.unreadable:
            lines += [f"{path}: {why}" for path, why in folder.unreadable.items()]
            folder.discard_unreadable()
    return lines
