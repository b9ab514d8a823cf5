"""Files that are whole or not there, however the process that writes them ends. Free of torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what was written takes the name once it is on the disk, and goes if that fails."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())  # else a loss of power may leave the name with nothing behind it
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
