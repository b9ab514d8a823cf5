"""All rows of a user's data set, checked one by one and against each other."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.benchmark.contract import check_tags
from bridgelab.benchmark.example import fits_column
from bridgelab.benchmark.readers.own_row import OwnRow, RowReader, is_empty
from bridgelab.benchmark.readers.own_tables import Source
from bridgelab.benchmark.readers.table_file import Table

FIELDS = (
    "id", "image", "images", "question", "answer", "answers", "choices", "answer_index", "caption", "split", "group", "tags",
)  # fmt: skip
LISTS = ("images", "answers", "choices")  # fields whose entries may stand in a column each
LISTED = 10  # malformed rows in a message
BREAKDOWN = "type"  # the tag that breaks the verdict down


class MalformedRows(ValueError):
    """Rows that can't be read.

    Args:
        problems: one line for each of the first `LISTED` rows, and one for the number of the others.
        rows: those that can be read, of which more may be checked.
    """

    def __init__(self, problems: Sequence[str], rows: Sequence[OwnRow]):
        super().__init__("\n".join(problems))
        self.problems, self.rows = problems, rows


def read_rows(
    sources: Sequence[Source],
    columns: Mapping[str, str | None],
    *,
    joined: Mapping[str, Sequence[str]] = MappingProxyType({}),
    tags: Sequence[str],
    images: Path | None,
    breakdown: str | None,
) -> list[OwnRow]:
    """Return all rows of all tables.

    Args:
        sources: the tables.
        columns: the tables' name of each of `FIELDS`; None for a field that is not to be read.
        joined: for some of `LISTS`, columns with an entry each, which are read as the one that `columns` names for it.
        tags: columns that are tags.
        images: the folder that names of images are relative to; None if they are paths already.
        breakdown: the tag whose values become `type`; None for a tag of that name, or for the only one of text.
    Raises:
        MalformedRows: if rows are malformed, with all that are.
        ValueError: if a column is missing, an id occurs twice, rows differ in their number of images, or a
            tag has values of two types.
    """
    rows: list[OwnRow] = []
    problems: list[str] = []
    for source, split in sources:
        table = source
        for field, several in joined.items():
            table = _with_entries_together(table, field, several, str(columns[field]))
        check_columns(table, columns, tags)
        reader = RowReader(table, columns, tags, images)
        for place, cells in table.rows:
            try:
                row = reader.read(place, cells)
                rows.append(row if row.split else replace(row, split=split))
            except ValueError as error:
                problems.append(f"{table.path}, {place}: {error}")
    if problems:
        more = len(problems) - LISTED
        rest = [f"{more:,} more of {len(rows) + len(problems):,} rows are malformed."] if more > 0 else []
        raise MalformedRows([*problems[:LISTED], *rest], rows)
    names = ", ".join(str(source.table.path) for source in sources)
    if not rows:
        raise ValueError(f"{names} holds 0 rows: at least 1 is needed. Check that the file is complete.")
    _check_together(rows, names)
    if all(source.table.is_csv for source in sources):
        rows = _with_numbers(rows)
    check_tags(((row.place, row.tags) for row in rows), names)
    return _with_breakdown(rows, breakdown, names)


def check_columns(table: Table, columns: Mapping[str, str | None], tags: Sequence[str]) -> None:
    """Check that a table has the columns that a question or a caption needs, and those that a config names.

    Args:
        table: the file.
        columns: the table's name of each field; None for a field that is not to be read.
        tags: columns that are tags.
    Raises:
        ValueError: with the missing column and the nearest one that there is, or with one of a type that is not read.
    """
    found = {name: column for name, column in columns.items() if column in table.columns and column}
    needed = [name for name, column in columns.items() if column and column != name]
    needed += [] if {"image", "images"} & found.keys() else ["image"]
    if "caption" not in found or {"question", "answer", "answers", "choices"} & found.keys():
        needed += ["question"]
        needed += [] if {"answer", "answers", "answer_index"} & found.keys() else ["answer"]
    for key, column in [
        *((f"columns.{name}", columns[name] or name) for name in needed),
        *(("tags", tag) for tag in tags),
    ]:
        _require_column(table, column, key)
    for column in (*found.values(), *tags):
        if column in table.unreadable:
            raise ValueError(
                f"{table.path}: column {column!r} holds {table.unreadable[column]}: only text, numbers, and lists and objects of these "
                "are read, since bytes may be anything. Write images as files; or if the file is of a data set of the hub's kind, set "
                "benchmark.hub to its folder."
            )


def _require_column(table: Table, column: str, key: str) -> None:
    if column not in table.columns:
        raise ValueError(
            f"{table.path} has no column {column!r}, but {', '.join(map(repr, table.columns))}: a row needs an image, and a "
            f"question with its answer or a caption. {_hint(column, table.columns)}Rename the column, or name another one in "
            f"benchmark.{key}."
        )


def _with_entries_together(table: Table, field: str, columns: Sequence[str], name: str) -> Table:
    """Return a table with a column `name` that holds the cells of several columns as a list in each row.

    Empty cells are left out: all of answers, and those after the last choice, so that choices keep their letters.
    """
    for column in columns:
        _require_column(table, column, f"columns.{field}")

    def together(cells: Mapping[str, Any]) -> list[Any] | None:
        entries = [cells.get(column) for column in columns]
        if field == "answers":
            entries = [one for one in entries if not is_empty(one)]
        while field == "choices" and entries and is_empty(entries[-1]):
            entries.pop()
        return entries or None

    rows = [(place, cells | {name: together(cells)}) for place, cells in table.rows]
    return replace(table, columns=(*table.columns, name), rows=rows)


def _hint(column: str, columns: Sequence[str]) -> str:
    if len(columns) == 1 and (mark := next((m for m in ";\t" if m in columns[0]), "")):
        return f"Cells seem to be separated by {mark!r}: save the table with commas. "
    close = difflib.get_close_matches(column.lower(), [one.lower() for one in columns], n=1, cutoff=0.5)
    return f"Did you mean {next(one for one in columns if one.lower() == close[0])!r}? " if close else ""


def _check_together(rows: Sequence[OwnRow], source: str) -> None:
    """Check ids and numbers of images."""
    name, times = Counter(row.id for row in rows).most_common(1)[0]
    if times > 1:
        places = " and ".join([row.place for row in rows if row.id == name][:2])
        raise ValueError(
            f"{source}: id {name!r} stands in {times} rows, such as {places}, and must be unique. Correct it, or set "
            "benchmark.columns.id=null to have rows numbered."
        )
    first = rows[0]
    if other := next((row for row in rows if len(row.images) != len(first.images)), None):
        raise ValueError(
            f"{source}: {first.place} has {len(first.images)} images and {other.place} {len(other.images)}: all rows of a data set need "
            "the same number. Split the data set."
        )


def _with_numbers(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """Return rows of CSVs, which have no types, with whole numbers for tags of which all values are written as such.

    Numbers too large for a column stay text: they are names, as barcodes are.
    """
    texts = {
        name
        for row in rows
        for name, value in row.tags.items()
        if not str(value).isdecimal() or str(int(value)) != value or not fits_column(int(value))
    }
    return [
        replace(row, tags={name: value if name in texts else int(value) for name, value in row.tags.items()})
        for row in rows
    ]


def _with_breakdown(rows: list[OwnRow], breakdown: str | None, source: str) -> list[OwnRow]:
    """Return rows with the tag that breaks the verdict down as `type`, in the place of another tag of that name."""
    tags = {name: value for row in rows for name, value in row.tags.items()}
    if breakdown is None:
        texts = [name for name, value in tags.items() if isinstance(value, str)]
        breakdown = texts[0] if len(texts) == 1 and BREAKDOWN not in tags else BREAKDOWN
    elif breakdown not in tags:
        close = difflib.get_close_matches(breakdown, list(tags), n=1, cutoff=0.5)
        raise ValueError(
            f"benchmark.breakdown={breakdown}: must be one of the tags of {source}, {', '.join(sorted(tags)) or 'which has none'}. "
            f"{f'Did you mean {close[0]!r}?' if close else 'Name the column in benchmark.tags.'}"
        )
    kept = [{name: value for name, value in row.tags.items() if name != BREAKDOWN} for row in rows]
    types: list[dict[str, str | int]] = [
        {BREAKDOWN: str(row.tags[breakdown])} if breakdown in row.tags else {} for row in rows
    ]
    return [replace(row, tags=own | of) for row, own, of in zip(rows, types, kept, strict=True)]
