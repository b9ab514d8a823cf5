"""Git LFS pointers: small text files that stand where a large file belongs until it is fetched. Free of torch."""

from collections.abc import Iterable
from pathlib import Path

from bridgelab.benchmark.annotations import LFS_HEADER

FETCH = (
    "a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned, or copy the file again"
)


def is_pointer(path: str | Path) -> bool:
    """Whether a regular file is a Git LFS pointer."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_HEADER)) == LFS_HEADER


def refuse_pointers(paths: Iterable[Path], key: str) -> None:
    """Refuse files that are not there but for their Git LFS pointer.

    Args:
        paths: of files; what is no regular file is passed over.
        key: of the config, with its value, that names them.
    Raises:
        ValueError: with the first of them.
    """
    for path in paths:
        if is_pointer(path):
            raise ValueError(f"{key}: {path} is {FETCH}.")
