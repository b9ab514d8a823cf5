"""Atomic writes: a file is complete or absent, however the process that writes it ends. Free of torch."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def temporary_path(path: Path) -> Path:
    """Return a path beside a file to write it at, which no other process uses.

    The processes of a run on several machines write to one folder, and their ids may be equal: in containers all are 1.
    """
    return path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def sync(path: Path) -> None:
    """Wait until a file is on the disk. If it is renamed before, a power loss may leave an empty file under the new name."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success fsync and rename it over `path`, on failure delete it."""
    temporary = temporary_path(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str) -> None:
    """Write a text file in UTF-8 atomically."""
    write_bytes(path, content.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
