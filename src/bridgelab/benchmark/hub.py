"""Rows of a data set of the Hugging Face hub: images as files, the rest as plain values, kept in a folder.

Only parquet is read, from the hub or from a folder of it; a data set that runs code of its own is refused.
Source: the `datasets` library, which streams, so that no second copy in its own format is made.

    <folder>/images/<sha256 of the file>.<jpeg, png, …>     written once, however many rows show the image
    <folder>/<hash of what was asked for>.jsonl             one row a line, written last: it stands when all do
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

PARQUET = "datasets.packaged_modules.parquet.parquet"  # the module whose class reads it


def hub_rows(
    source: str | Path,
    split: str,
    folder: str | Path,
    *,
    config: str | None = None,
    images: Sequence[str] = ("image",),
    revision: str | None = None,
) -> list[dict[str, Any]]:
    """All rows of one split, in order; later calls read `folder` alone.

    Args:
        source: a data set's name on the hub, as lmms-lab/GQA, or a folder of parquet files, named as on the hub:
            <config>/<split>-*.parquet, or without a config data/<split>-*.parquet or <split>-*.parquet.
        split: as published, such as validation.
        folder: where images and rows are kept.
        config: which of the data set's configs.
        images: the columns that hold images.
        revision: a commit, tag or branch of the hub's repository.
    Returns:
        column -> value (str, int, float, bool, None, or lists and dicts of these); an image's is its absolute
        path, None where the row has none.
    Raises:
        ConnectionError: if the hub is asked and can't be reached.
        FileNotFoundError: if there is no such data set, or no such split or config in a folder.
        ValueError: if there is no such split or config on the hub, it is not parquet, lacks a column of `images`, or holds
            what is neither plain nor an image.
    """
    folder = Path(folder).resolve()
    files = _files(Path(source), split, config) if Path(source).is_dir() else None
    asked = {
        "source": str(source),
        "split": split,
        "config": config,
        "images": list(images),
        "revision": revision,
        "files": [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files or ()],
    }
    index = folder / f"{hashlib.sha256(orjson.dumps(asked)).hexdigest()[:16]}.jsonl"
    if not index.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        where = " ".join(str(part) for part in (source, config, split) if part)
        rows = _stream(str(source), split, config, revision, files, folder)
        _write(index, b"".join(_line(row, images, folder / "images", where) for row in rows))
    found = [orjson.loads(line) for line in index.read_bytes().splitlines()]
    for row, column in itertools.product(found, images):
        row[column] = row[column] and str(folder / "images" / row[column])
    return found


def _files(source: Path, split: str, config: str | None) -> list[Path]:
    places = [source / config] if config else [source / "data", source]
    for place, name in itertools.product(places, (f"{split}-*.parquet", f"{split}.parquet")):
        if files := sorted(place.glob(name)):
            return files
    there = sorted(str(file.relative_to(source)) for file in source.rglob("*.parquet"))
    raise FileNotFoundError(
        f"{source} has no parquet file of split {split!r}"
        + (f" and config {config!r}" if config else "")
        + f", but {', '.join(there[:8]) or 'none at all'}. Expected layout: {config or 'data'}/{split}-*.parquet. "
        "Name another split, or get the data set whole."
    )


def _stream(
    source: str,
    split: str,
    config: str | None,
    revision: str | None,
    files: list[Path] | None,
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Rows with undecoded images."""
    import datasets  # takes seconds: only when something is to be read

    cache = str(folder / "datasets")  # the library's own, of a few bytes: rows are streamed past it
    try:
        if files:
            held = {split: [str(file) for file in files]}
            builder = datasets.load_dataset_builder("parquet", data_files=held, cache_dir=cache)
        else:
            builder = datasets.load_dataset_builder(source, config, revision=revision, cache_dir=cache)
    except RuntimeError as error:  # 'Dataset scripts are no longer supported'
        raise ValueError(
            f"{source} can't be read ({error}): only parquet is, since a data set's own code may do anything. Name a "
            "copy in parquet, or a folder of parquet files."
        ) from error
    except ConnectionError as error:
        raise ConnectionError(
            f"{source} can't be read ({error}): the first reading needs the hub, later ones {folder} alone. Read it once "
            "where there is a network, or name a folder of its parquet files."
        ) from error
    kind = next(base.__module__ for base in type(builder).__mro__ if "packaged_modules" in base.__module__)
    if kind != PARQUET:
        raise ValueError(
            f"{source} is published as {kind.rpartition('.')[2]}: only parquet is read. Name a copy in parquet, or a "
            "folder of parquet files."
        )
    yield from builder.as_streaming_dataset(split=split).decode(False)


def _line(row: dict[str, Any], images: Sequence[str], folder: Path, where: str) -> bytes:
    """A row as a line of JSON, its images written; an image stands as its file's name."""
    if lacking := [column for column in images if column not in row]:
        raise ValueError(
            f"{where} has no column {', '.join(lacking)}, but {', '.join(row)}. Name its image columns, or another "
            "data set."
        )
    kept = row | {column: _image(row[column], folder, f"{where}, column {column}") for column in images}
    try:
        return orjson.dumps(kept) + b"\n"
    except TypeError as error:
        raise ValueError(
            f"{where} holds what is not plain ({error}) in one of {', '.join(kept)}: only columns of images may. Name "
            "that column among `images`."
        ) from error


def _image(value: Any, folder: Path, where: str) -> str | None:
    """Write an image unless it is there; its name."""
    if value is None:
        return None
    held = value.get("bytes") if isinstance(value, dict) else value
    try:
        if not isinstance(held, bytes):
            raise TypeError(f"{type(held).__name__} in place of bytes")
        with Image.open(io.BytesIO(held)) as image:
            suffix = str(image.format).lower()
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{where}, holds an image that is too large to read ({error}). Scale it down, or leave its row out."
        ) from error
    except (TypeError, UnidentifiedImageError, OSError) as error:
        raise ValueError(
            f"{where}, holds what is no image ({error}): each value must be a whole image file, or null. Get the data "
            "set again."
        ) from error
    path = folder / f"{hashlib.sha256(held).hexdigest()}.{suffix}"
    if not path.exists():
        _write(path, held)
    return path.name


def _write(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    os.replace(aside, path)
