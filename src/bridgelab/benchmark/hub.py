"""Rows of a data set on the Hugging Face hub, kept in a folder: images as files, other values as JSON.

Only parquet is read, from the hub or from a local folder; data sets that run code of their own are refused. The
`datasets` library streams the rows, so it keeps no second copy in its own format.

    <folder>/images/<sha256 of the file>.<jpeg, png, …>     written once, however many rows show the image
    <folder>/<hash of the request>.jsonl                    one row per line, written last, so it exists only if complete
"""

import hashlib
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from PIL import Image, UnidentifiedImageError

PARQUET = "datasets.packaged_modules.parquet.parquet"  # the module of the class that reads parquet


def hub_rows(
    source: str | Path,
    split: str,
    folder: str | Path,
    *,
    config: str | None = None,
    images: Sequence[str] = ("image",),
    revision: str | None = None,
) -> list[dict[str, Any]]:
    """Return all rows of one split in order. Later calls read only `folder`.

    Args:
        source: a data set's name on the hub, such as lmms-lab/GQA, or a folder of parquet files named as on the hub:
            <config>/<split>-*.parquet, or without a config data/<split>-*.parquet or <split>-*.parquet.
        split: the published split, such as validation.
        folder: where images and rows are kept.
        config: the data set's config.
        images: the columns that hold images.
        revision: a commit, tag or branch of the hub's repository.
    Returns:
        Rows of column -> value (str, int, float, bool, None, or lists and dicts of these). An image's value is its
        absolute path, or None if the row has no image.
    Raises:
        ConnectionError: if the hub is needed and cannot be reached.
        FileNotFoundError: if there is no such data set, or the folder has no such split or config.
        ValueError: if the hub has no such split or config, it is not parquet, it lacks a column of `images`, or a value
            is neither an image nor JSON.
    """
    folder = Path(folder).resolve()
    files = _files(Path(source), split, config) if Path(source).is_dir() else None
    request = {
        "source": str(source),
        "split": split,
        "config": config,
        "images": list(images),
        "revision": revision,
        "files": [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files or ()],
    }
    cache = folder / f"{hashlib.sha256(orjson.dumps(request)).hexdigest()[:16]}.jsonl"
    if not cache.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        name = " ".join(str(word) for word in (source, config, split) if word)
        streamed = _stream(str(source), split, config, revision, files, folder)
        _write(cache, b"".join(_line(row, images, folder / "images", name) for row in streamed))
    rows = [orjson.loads(line) for line in cache.read_bytes().splitlines()]
    for row, column in itertools.product(rows, images):
        row[column] = row[column] and str(folder / "images" / row[column])
    return rows


def _files(source: Path, split: str, config: str | None) -> list[Path]:
    """Return the parquet files of a split in a local folder."""
    folders = [source / config] if config else [source / "data", source]
    for folder, name in itertools.product(folders, (f"{split}-*.parquet", f"{split}.parquet")):
        if files := sorted(folder.glob(name)):
            return files
    existing = sorted(str(file.relative_to(source)) for file in source.rglob("*.parquet"))
    raise FileNotFoundError(
        f"{source} has no parquet file of split {split!r}"
        + (f" and config {config!r}" if config else "")
        + f", but {', '.join(existing[:8]) or 'none at all'}. Expected layout: {config or 'data'}/{split}-*.parquet. "
        "Name another split, or get the complete data set."
    )


def _stream(
    source: str,
    split: str,
    config: str | None,
    revision: str | None,
    files: list[Path] | None,
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Yield rows with undecoded images."""
    import datasets  # takes seconds, so only when needed

    cache = str(folder / "datasets")  # the library's own cache, a few bytes since rows are streamed
    try:
        if files:
            data_files = {split: [str(file) for file in files]}
            builder = datasets.load_dataset_builder("parquet", data_files=data_files, cache_dir=cache)
        else:
            builder = datasets.load_dataset_builder(source, config, revision=revision, cache_dir=cache)
    except RuntimeError as error:  # 'Dataset scripts are no longer supported'
        raise ValueError(
            f"{source} can't be read ({error}): only parquet is, since a data set's own code may do anything. Name a "
            "parquet copy, or a folder of parquet files."
        ) from error
    except ConnectionError as error:
        raise ConnectionError(
            f"{source} can't be read ({error}): the first reading needs the hub, later ones only {folder}. Read it once "
            "where there is a network, or name a folder of its parquet files."
        ) from error
    kind = next(base.__module__ for base in type(builder).__mro__ if "packaged_modules" in base.__module__)
    if kind != PARQUET:
        raise ValueError(
            f"{source} is published as {kind.rpartition('.')[2]}: only parquet is read. Name a parquet copy, or a folder of "
            "parquet files."
        )
    yield from builder.as_streaming_dataset(split=split).decode(False)


def _line(row: dict[str, Any], images: Sequence[str], folder: Path, source: str) -> bytes:
    """Write a row's images, and return the row as a line of JSON with their file names."""
    if missing := [column for column in images if column not in row]:
        raise ValueError(
            f"{source} has no column {', '.join(missing)}, but {', '.join(row)}. Name its image columns, or another "
            "data set."
        )
    row = row | {column: _image(row[column], folder, f"{source}, column {column}") for column in images}
    try:
        return orjson.dumps(row) + b"\n"
    except TypeError as error:
        raise ValueError(
            f"{source} holds a value that is not JSON ({error}) in one of {', '.join(row)}: only image columns may. Name "
            "that column among the images of its class."
        ) from error


def _image(value: Any, folder: Path, source: str) -> str | None:
    """Write an image unless its file exists, and return the file's name."""
    if value is None:
        return None
    content = value.get("bytes") if isinstance(value, dict) else value
    try:
        if not isinstance(content, bytes):
            raise TypeError(f"{type(content).__name__} instead of bytes")
        with Image.open(io.BytesIO(content)) as image:
            suffix = str(image.format).lower()
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{source}, holds an image that is too large to read ({error}). Scale it down, or leave its row out."
        ) from error
    except (TypeError, UnidentifiedImageError, OSError) as error:
        raise ValueError(
            f"{source}, holds a value that is not an image ({error}): each must be a complete image file, or null. Get the "
            "data set again."
        ) from error
    path = folder / f"{hashlib.sha256(content).hexdigest()}.{suffix}"
    if not path.exists():
        _write(path, content)
    return path.name


def _write(path: Path, content: bytes) -> None:
    """Write a temporary file, then rename it over the path."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)
