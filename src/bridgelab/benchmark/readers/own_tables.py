"""Where the rows of a user's data set lie: one table in a folder, one per split, or a data set on the hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bridgelab.benchmark.annotations import require
from bridgelab.benchmark.hub import hub_rows
from bridgelab.benchmark.readers.table_file import SUFFIXES, Table, kind_of, read_table

LAYOUT = "one table, such as questions.jsonl, .csv or .parquet; or train, val and test tables"
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test",
}  # fmt: skip
LISTED = 5  # files in a message


class Source(NamedTuple):
    """A table, and the split of its rows if its name says so."""

    table: Table
    split: str | None


def folder_tables(root: Path, file: str | None) -> list[Source]:
    """Return the tables of a folder.

    Args:
        root: the folder.
        file: the table's path below it; None for the only table there, or for all that are named for a split.
    Raises:
        FileNotFoundError: if there is no table, or it is not clear which one is meant.
        ValueError: if a table is malformed.
    """
    if file:
        return [Source(read_table(require(root / file, LAYOUT, "Set benchmark.file to its name.")), None)]
    require(root, LAYOUT, "Set benchmark.root to the folder of the table.")
    files = sorted(path for path in root.iterdir() if path.is_file())
    paths = [path for path in files if kind_of(path) in SUFFIXES]
    if paths and all(path.stem.lower() in SPLIT_NAMES for path in paths):
        return [Source(read_table(path), SPLIT_NAMES[path.stem.lower()]) for path in paths]
    if len(paths) == 1:
        return [Source(read_table(paths[0]), None)]
    shown = ", ".join(path.name for path in (paths or files)[:LISTED]) or "no file"
    raise FileNotFoundError(
        f"{root} has {len(paths)} tables ({shown}): expected is {LAYOUT}. Write the table there, with the "
        "columns image, question and answer, or name it in benchmark.file."
    )


def hub_tables(
    source: str,
    parts: Mapping[str, str | None],
    folder: Path,
    *,
    images: Sequence[str],
    either: bool,
    config: str | None,
    revision: str | None,
) -> list[Source]:
    """Return the tables of a data set on the hub, or in a folder of its files, with the paths of its images.

    Args:
        source: the data set's name, or a folder.
        parts: the name of each split there, or None. Without a part for test, all rows are split anew.
        folder: where rows and images are kept.
        images: the columns of images.
        either: whether one of these is enough.
        config: the data set's config, if it has several.
        revision: of the hub's repository.
    Raises:
        ConnectionError: if the hub is needed and cannot be reached.
        FileNotFoundError: if there is no such data set or part.
        ValueError: as `hub_rows`.
    """
    sources = []
    for split, part in parts.items():
        if part is None:
            continue
        rows = hub_rows(source, part, folder, config=config, images=images, either=either, revision=revision)
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        table = Table(Path(part), columns, [(f"row {k}", row) for k, row in enumerate(rows)], {})
        sources.append(Source(table, split if parts["test"] else None))
    return sources
