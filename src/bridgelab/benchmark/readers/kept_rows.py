"""Rows of a data set that holds its images inside, kept in a folder: images as files, other values as JSON.

<folder>/images/<sha256 of the file>.<jpeg, png, …>     written once, however many rows show the image
<folder>/<hash of the request>.jsonl                    one row per line, written last, so it exists only if complete
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from PIL import Image, UnidentifiedImageError

from bridgelab.atomic import write_bytes

Row = dict[str, Any]


def kept_rows(
    folder: str | Path,
    request: Mapping[str, Any],
    read: Callable[[Path], Iterable[Row]],
    images: Sequence[str],
    source: str,
) -> list[Row]:
    """Return all rows in order. Later calls with the same request read only `folder`.

    Args:
        folder: where images and rows are kept.
        request: what identifies the rows, as JSON.
        read: returns the rows. It writes their images into the folder that it is given, by `save_image`, and a row names
            each by its file name.
        images: the columns that hold an image's file name, a list of them, or None. A row may lack some.
        source: where the rows come from, for messages.
    Returns:
        Rows of column -> value (str, int, float, bool, None, or lists and dicts of these). An image's value is its
        absolute path.
    Raises:
        ValueError: if a value is not JSON; and what `read` raises.
    """
    folder = Path(folder).resolve()
    cache = folder / f"{hashlib.sha256(orjson.dumps(request)).hexdigest()[:16]}.jsonl"
    if not cache.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_bytes(cache, b"".join(_line(row, source) for row in read(folder / "images")))

    def path(name: str) -> str:
        return str(folder / "images" / name)

    rows = [orjson.loads(line) for line in cache.read_bytes().splitlines()]
    for row in rows:
        for column in row.keys() & set(images):
            value = row[column]
            row[column] = [path(name) for name in value] if isinstance(value, list) else value and path(value)
    return rows


def save_image(content: Any, folder: Path, source: str) -> str:
    """Write an image file unless it exists, and return its name.

    Args:
        content: the bytes of an image file.
        folder: where it is written.
        source: where it comes from, for messages.
    Raises:
        ValueError: if it is not a readable image file.
    """
    try:
        if not isinstance(content, bytes):
            raise TypeError(f"{type(content).__name__} instead of bytes")
        with Image.open(io.BytesIO(content)) as image:
            suffix = str(image.format).lower()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{source}, holds an image that is too large to read ({error}). Scale it down, or leave its row out."
        ) from error
    except Exception as error:  # Pillow's parsers of headers raise whatever they do
        reason = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(
            f"{source}, holds a value that is not an image ({reason}): each must be a complete image file, or null. Get the "
            "data set again."
        ) from error
    path = folder / f"{hashlib.sha256(content).hexdigest()}.{suffix}"
    if not path.exists():
        write_bytes(path, content)
    return path.name


def file_identity(path: Path) -> tuple[str, int, int]:
    """Return a file's path, size and time of change, by which a request tells a changed file from the old one."""
    return str(path), path.stat().st_size, path.stat().st_mtime_ns


def _line(row: Row, source: str) -> bytes:
    try:
        return orjson.dumps(row) + b"\n"
    except TypeError as error:
        raise ValueError(
            f"{source} holds a value that is not JSON ({error}) in one of {', '.join(row)}: only image columns may. Name "
            "that column among the images of its class."
        ) from error
