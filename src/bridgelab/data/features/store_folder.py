"""The folder of one encoder's features in one dtype: its shards, and how damaged rows are removed. Free of torch.

Only the shards' headers say what the folder holds. No index can be torn, or disagree with them.
"""

import contextlib
import fcntl
import time
from collections.abc import Iterable
from pathlib import Path

from bridgelab.data.features.shard import KINDS, LAYOUT, PART, SUFFIX, ForeignError, Shard, write_shard
from bridgelab.runs.locks import locked

DEAD_AFTER = 60.0  # seconds after which an unlocked `.part` file is a killed writer's


def store_name(fingerprint: str, dtype: str) -> str:
    """Return the name of the folder of an encoder's features in a dtype."""
    return f"{fingerprint[:32]}-{dtype}-v{LAYOUT}"


class StoreFolder:
    """The shards of one encoder in one dtype.

    Args:
        path: of the folder, with a name by `store_name`.

    Attributes:
        unreadable: the problems of damaged shards among those listed so far, by path.
        foreign: the problems of files that do not belong here, by path. They are never removed.
    """

    def __init__(self, path: Path):
        self.path = path
        self.dtype = path.name.split("-")[-2]
        self.unreadable: dict[Path, str] = {}
        self.foreign: dict[Path, str] = {}
        self._known: set[str] = set()

    def new_shards(self) -> list[Shard]:
        """Return the shards of this encoder and dtype that were not returned before."""
        shards = []
        for path in sorted(self.path.glob(f"*{SUFFIX}")):
            if path.name not in self._known:
                self._known.add(path.name)
                try:
                    shard = Shard(path)
                    if (own := store_name(shard.encoder, shard.dtype)) != self.path.name:
                        raise ForeignError(
                            f"belongs to {own!r}: another encoder's features, or of another dtype"
                        )
                    shards.append(shard)
                except FileNotFoundError:  # another process removed damaged rows from it
                    continue
                except ForeignError as error:
                    self.foreign[path] = str(error)
                except ValueError as error:
                    self.unreadable[path] = str(error)
        return shards

    def reset(self) -> None:
        """Treat all shards as new again."""
        self._known.clear()
        self.unreadable.clear()
        self.foreign.clear()

    def remove_rows(self, shard: Shard, also: Iterable[int] = ()) -> None:
        """Write a shard's intact rows to a new file, then remove the old one. If killed in between, both files remain.

        Args:
            shard: of this folder.
            also: intact rows to remove too.
        """
        with locked(self.path / "take_out.lock"):
            try:
                removed = {*also, *shard.damaged(range(shard.rows))}
            except FileNotFoundError:
                return  # another process was faster
            kept = [row for row in range(shard.rows) if row not in removed]
            if kept:
                images = shard.images
                write_shard(
                    self.path,
                    encoder=shard.encoder,
                    dtype=self.dtype,
                    images=[images[row] for row in kept],
                    mean=shard.mean[kept],
                    variance=shard.variance[kept],
                    features=shard.features[kept],
                    scale=None if shard.scale is None else shard.scale[kept],
                )
            if removed:
                shard.path.unlink()

    def discard_unreadable(self) -> None:
        """Delete the shards whose headers are damaged."""
        with locked(self.path / "take_out.lock"):
            for path in self.unreadable:
                with contextlib.suppress(FileNotFoundError):
                    try:
                        Shard(path)  # another process may have written it again
                    except ForeignError:
                        pass
                    except ValueError:
                        path.unlink()
                self._known.discard(path.name)
        self.unreadable.clear()

    def leftovers(self) -> list[Path]:
        """Return the files of killed writers: nobody holds their locks."""
        files = []
        for path in sorted(self.path.glob(f"*{PART}")):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if time.time() - path.stat().st_mtime > DEAD_AFTER:  # a younger one may be about to be locked
                    files.append(path)
        return files


def store_folders(root: Path) -> list[StoreFolder]:
    """Return the folders below a root that this version can read."""
    names = {path.name for path in root.glob("*-*-*") if path.is_dir()}
    endings = tuple(store_name("", dtype) for dtype in KINDS)
    return [StoreFolder(root / name) for name in sorted(names) if name.endswith(endings)]
