"""Git LFS pointers: small text files in place of large files that have not been fetched. Free of torch."""

from collections.abc import Iterable
from pathlib import Path

from bridgelab.benchmark.annotations import LFS_HEADER

FETCH = (
    "a Git LFS pointer, not the file itself: run 'git lfs pull' where it was cloned, or copy the file again"
)


def is_pointer(path: str | Path) -> bool:
    """Return whether a path is a regular file that holds a Git LFS pointer."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_HEADER)) == LFS_HEADER


def refuse_pointers(paths: Iterable[Path], key: str) -> None:
    """Refuse files of which only the Git LFS pointer is present.

    Args:
        paths: paths to check; those that are no regular files are skipped.
        key: the config key that names them, with its value.
    Raises:
        ValueError: with the first pointer.
    """
    for path in paths:
        if is_pointer(path):
            raise ValueError(f"{key}: {path} is {FETCH}.")
