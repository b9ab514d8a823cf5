"""Rows of a data set on the Hugging Face hub, kept in a folder by `readers/kept_rows.py`.

Only parquet is read, from the hub or from a local folder, and the Arrow files that `datasets.save_to_disk` writes; data sets that
run code of their own are refused. The `datasets` library streams the rows, so it keeps no second copy in its own format.
"""

import itertools
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bridgelab.benchmark.readers.kept_rows import file_identity, kept_rows, save_image

PARQUET = "datasets.packaged_modules.parquet.parquet"  # the module of the class that reads parquet
# The owner of lmms-eval's data sets, before and after they moved (lmms-eval 0.7.3, lmms_eval/tasks/gqa/gqa.yaml).
FORMER_OWNER, OWNER = "lmms-lab/", "lmms-lab-encoder/"
STATE, DICT_STATE = "state.json", "dataset_dict.json"  # of a saved data set, and of one with splits
TIMEOUT = 5.0  # seconds until a hub that does not answer counts as out of reach


def hub_rows(
    source: str | Path,
    split: str,
    folder: str | Path,
    *,
    config: str | None = None,
    images: Sequence[str] = ("image",),
    either: bool = False,
    revision: str | None = None,
) -> list[dict[str, Any]]:
    """Return all rows of one split in order. Later calls read only `folder`.

    Args:
        source: a data set's name on the hub, such as lmms-lab-encoder/GQA, or a folder of parquet files named as on the hub:
            <config>/<split>-*.parquet, or without a config data/<split>-*.parquet or <split>-*.parquet; or a folder that
            `datasets.save_to_disk` wrote, where a data set without splits is train.
        split: the published split, such as validation.
        folder: where images and rows are kept.
        config: the data set's config.
        images: the columns that hold an image or a list of images.
        either: whether one of these columns is enough.
        revision: a commit, tag or branch of the hub's repository.
    Returns:
        Rows of column -> value (str, int, float, bool, None, or lists and dicts of these). An image's value is its
        absolute path, or None if the row has no image; that of a list of images is a list of paths.
    Raises:
        ConnectionError: if the hub is needed and cannot be reached.
        FileNotFoundError: if there is no such data set, or the folder has no such split or config.
        ValueError: if the hub has no such split or config, it is not parquet, it lacks a column of `images`, or a value
            is neither an image nor JSON.
    """
    files = _files(Path(source), split, config) if Path(source).is_dir() else None
    request = {
        "source": str(source),
        "split": split,
        "config": config,
        "images": list(images),
        "revision": revision,
        "files": [file_identity(file) for file in files or ()],
    }
    name = " ".join(str(word) for word in (source, config, split) if word)

    def read(image_folder: Path) -> Iterator[dict[str, Any]]:
        for row in _stream(str(source), split, config, revision, files, Path(folder).resolve()):
            missing = [column for column in images if column not in row]
            if missing and not (either and len(missing) < len(images)):
                raise ValueError(
                    f"{name} has no column {(' or ' if either else ', ').join(missing)}, but {', '.join(row)}. Name its image columns, or "
                    "another data set."
                )
            yield _with_saved_images(row, images, image_folder, name)

    return kept_rows(folder, request, read, images, name)


def _files(source: Path, split: str, config: str | None) -> list[Path]:
    """Return the parquet files of a split in a local folder, or its saved files."""
    saved = source / split if (source / DICT_STATE).is_file() else source
    if not config and (saved / STATE).is_file() and (saved != source or split == "train"):
        return [saved / STATE, *sorted(saved.glob("*.arrow"))]
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

    if files and files[0].name == STATE:
        yield from datasets.load_from_disk(str(files[0].parent)).to_iterable_dataset().decode(False)
        return
    cache = str(folder / "datasets")  # the library's own cache, a few bytes since rows are streamed
    try:
        if files:
            data_files = {split: [str(file) for file in files]}
            builder = datasets.load_dataset_builder("parquet", data_files=data_files, cache_dir=cache)
        else:
            _require_hub()
            builder = _builder_of(source, config, revision, cache)
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


def _require_hub() -> None:
    """Ask the hub for one answer, since the libraries retry for 25 seconds until they say that it is out of reach.

    Raises:
        ConnectionError: if it does not answer, and the libraries are not set to work offline.
    """
    import datasets
    from huggingface_hub import constants

    if datasets.config.HF_HUB_OFFLINE:
        return  # the libraries refuse at once
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # an answer, whatever it says
    except OSError as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLError):
            return  # an answer too, in which the libraries may trust
        raise ConnectionError(f"{constants.ENDPOINT} does not answer: {error}") from error


def _builder_of(source: str, config: str | None, revision: str | None, cache: str) -> Any:
    """Return a hub data set's builder; a data set that is gone under lmms-eval's former owner is looked up under today's."""
    import datasets

    try:
        return datasets.load_dataset_builder(source, config, revision=revision, cache_dir=cache)
    except datasets.exceptions.DatasetNotFoundError:
        if not source.startswith(FORMER_OWNER):
            raise
        current = OWNER + source.removeprefix(FORMER_OWNER)
        return datasets.load_dataset_builder(current, config, revision=revision, cache_dir=cache)


def _with_saved_images(
    row: dict[str, Any], images: Sequence[str], folder: Path, source: str
) -> dict[str, Any]:
    """Write a row's images, and return the row with their file names."""

    def save(value: Any, column: str) -> str:
        content = value.get("bytes") if isinstance(value, dict) else value
        return save_image(content, folder, f"{source}, column {column}")

    names: dict[str, Any] = {}
    for column in row.keys() & set(images):
        value = row[column]
        if isinstance(value, list):
            names[column] = [save(one, column) for one in value]
        else:
            names[column] = None if value is None else save(value, column)
    return row | names
