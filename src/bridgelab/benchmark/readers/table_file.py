"""Tables that anybody may have written: JSON lines, CSV and Parquet. Memory is bounded, and no code of theirs runs."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from bridgelab.benchmark.annotations import LFS_HEADER, parse_json

BOM = b"\xef\xbb\xbf"
MAX_LINE = 2**20  # bytes of a line
MAX_ROW_GROUP = 2**30  # bytes of a Parquet row group, unpacked
BATCH = 4096  # rows of a Parquet file that are unpacked together
SUFFIXES = (".jsonl", ".csv", ".parquet")
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".npy", ".npz", ".joblib")


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Args:
        path: of the file.
        columns: the names of its columns, in order.
        rows: each with its place in the file, as a message names it, and its cells by column.
        unreadable: the types of columns that hold neither text, numbers, nor lists or objects of these, by name.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[str, dict[str, Any]]]
    unreadable: dict[str, str]

    @property
    def is_csv(self) -> bool:
        """Whether a list has to be written as text, since cells of the file hold nothing else."""
        return kind_of(self.path) == ".csv"


def kind_of(path: Path) -> str:
    """Return the ending of a file's name in lower case, which says what kind of file it is."""
    return path.suffix.lower()


def read_table(path: Path) -> Table:
    """Return the rows of a JSON lines, CSV or Parquet file. A byte order mark and either line ending are accepted.

    Raises:
        ValueError: if it is another kind of file, is malformed, or has a line or a row group that is too long.
    """
    kind = kind_of(path)
    if kind not in SUFFIXES:
        why = ", and a pickle runs code when it is opened" if kind in PICKLES else ""
        raise ValueError(
            f"{path} can't be read: a table is a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file{why}. Write it as JSON lines."
        )
    if kind == ".parquet":
        return _read_parquet(path)
    rows = list(_csv_rows(path) if kind == ".csv" else _json_rows(path))
    columns = dict.fromkeys(name for _, row in rows for name in row)
    return Table(path, tuple(columns), rows, {})


def _lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines without a byte order mark, of which none is longer than `MAX_LINE`."""
    with path.open("rb") as file:
        for number, line in enumerate(_bounded(file), start=1):
            if len(line) > MAX_LINE:
                raise ValueError(
                    f"{path}, line {number} has more than {MAX_LINE:,} bytes: a row is a question and the names of its images. Write "
                    "one row a line, and images as files."
                )
            if number == 1:
                line = line.removeprefix(BOM)
                if line.startswith(LFS_HEADER):
                    raise ValueError(
                        f"{path} is a Git LFS pointer instead of the file: its content is missing. In its repository, run: git lfs pull"
                    )
            yield line


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE + 1):
        yield line


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
            if not isinstance(row, dict):
                raise ValueError(f"it is a {type(row).__name__}")
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number} is malformed ({error}): each line is one JSON object in UTF-8, and NaN is not JSON. Write it "
                "again, one object a line."
            ) from error
        yield f"line {number}", row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.reader((line.decode() for line in _lines(path)), strict=True)
        header = next(reader, [])
        if not header or len(set(header)) < len(header) or not all(header):
            raise ValueError(
                f"{path} has the header {header}: a name of its own is needed for each column. Name them in the first line."
            )
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {reader.line_num} has {len(cells)} cells, and the header {len(header)}: each row has one a column. "
                    "Put a cell that holds a comma between double quotes."
                )
            yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} can't be read ({error}): it must be CSV in UTF-8, with commas. Save it again as such."
        ) from error


def _read_parquet(path: Path) -> Table:
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        readable = [field.name for field in schema if _is_plain(field.type)]
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            columns = (group.column(place) for place in range(group.num_columns))
            size = sum(
                c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] in readable
            )
            if size > MAX_ROW_GROUP:
                raise ValueError(
                    f"{path}, row group {number} holds {size / 1e9:.1f} GB: at most {MAX_ROW_GROUP / 1e9:.1f} are read at once. Write "
                    "smaller row groups, and images as files."
                )
        batches = file.iter_batches(batch_size=BATCH, columns=readable)
        rows = [row for batch in batches for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} can't be read ({' '.join(str(error).split())}): it must be a complete Parquet file with text in UTF-8. Write it again."
        ) from error
    unreadable = {field.name: str(field.type) for field in schema if field.name not in readable}
    return Table(path, tuple(schema.names), [(f"row {k}", row) for k, row in enumerate(rows)], unreadable)


def _is_plain(kind: pa.DataType) -> bool:
    """Return whether values of a type are text, numbers, or lists or objects of these: bytes may be anything, such as pickles."""
    if isinstance(kind, pa.BaseExtensionType):
        return False
    types = pa.types
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(place).type) for place in range(kind.num_fields))
    plain = (
        types.is_string,
        types.is_large_string,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_null,
    )
    return any(is_one(kind) for is_one in plain)
