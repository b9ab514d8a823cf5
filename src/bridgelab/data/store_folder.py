"""A folder of shards, one an encoder and dtype: what is in it, and how damage is taken out. Free of torch.

There is no list of what the folder holds beside the shards' own headers: nothing can be torn, or disagree.
"""

import contextlib
import fcntl
import time
from collections.abc import Iterable
from pathlib import Path

from bridgelab.data.shard import KINDS, LAYOUT, PART, SUFFIX, ForeignError, Shard, write_shard
from bridgelab.runs.locks import locked

DEAD_AFTER = 60.0  # seconds after which a `.part` that nobody holds is a killed writer's


def shelf_name(fingerprint: str, dtype: str) -> str:
    """The folder of an encoder's features in a dtype."""
    return f"{fingerprint[:32]}-{dtype}-v{LAYOUT}"


class Shelf:
    """The shards of one encoder in one dtype.

    Args:
        folder: named by `shelf_name`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.dtype = folder.name.split("-")[-2]
        self.unreadable: dict[Path, str] = {}  # of the shards met so far: why
        self.foreign: dict[
            Path, str
        ] = {}  # likewise of files that do not belong here; they are nobody's to remove
        self._met: set[str] = set()

    def fresh(self) -> list[Shard]:
        """Shards of this encoder and dtype not given before."""
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path.name not in self._met:
                self._met.add(path.name)
                try:
                    shard = Shard(path)
                    if (own := shelf_name(shard.encoder, shard.dtype)) != self.folder.name:
                        raise ForeignError(
                            f"belongs to {own!r}: another encoder's features, or of another dtype"
                        )
                    found.append(shard)
                except FileNotFoundError:  # another process took damaged rows out of it
                    continue
                except ForeignError as error:
                    self.foreign[path] = str(error)
                except ValueError as error:
                    self.unreadable[path] = str(error)
        return found

    def forget(self) -> None:
        """Begin anew: all shards are fresh again."""
        self._met.clear()
        self.unreadable.clear()
        self.foreign.clear()

    def take_out(self, shard: Shard, also: Iterable[int] = ()) -> None:
        """Write a shard's rows that are not damaged to a new file and remove the old one; killed in between, both stand.

        Args:
            also: other rows that are to go.
        """
        with locked(self.folder / "take_out.lock"):
            try:
                out = {*also, *shard.damaged(range(shard.rows))}
            except FileNotFoundError:
                return  # another process was faster
            kept = [row for row in range(shard.rows) if row not in out]
            if kept:
                images = shard.images
                write_shard(
                    self.folder,
                    encoder=shard.encoder,
                    dtype=self.dtype,
                    images=[images[row] for row in kept],
                    mean=shard.mean[kept],
                    variance=shard.variance[kept],
                    features=shard.features[kept],
                )
            if out:
                shard.path.unlink()

    def discard_unreadable(self) -> None:
        """Remove the shards whose headers say nothing that can be trusted."""
        with locked(self.folder / "take_out.lock"):
            for path in self.unreadable:
                with contextlib.suppress(FileNotFoundError):
                    try:
                        Shard(path)  # another process may have written it again
                    except ForeignError:
                        pass
                    except ValueError:
                        path.unlink()
                self._met.discard(path.name)
        self.unreadable.clear()

    def leftovers(self) -> list[Path]:
        """What killed writers left: nobody holds its lock."""
        found = []
        for path in sorted(self.folder.glob(f"*{PART}")):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if time.time() - path.stat().st_mtime > DEAD_AFTER:  # else it may be about to be locked
                    found.append(path)
        return found


def shelves(root: Path) -> list[Shelf]:
    """All shelves of a root that this version reads."""
    names = {path.name for path in root.glob("*-*-*") if path.is_dir()}
    endings = tuple(shelf_name("", dtype) for dtype in KINDS)
    return [Shelf(root / name) for name in sorted(names) if name.endswith(endings)]
