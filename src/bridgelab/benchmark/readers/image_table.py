"""Tab-separated tables with their images inside, as VLMEvalKit publishes its benchmarks.

Layout, read from open-compass/VLMEvalKit, vlmeval/dataset/image_base.py (050726559997) and image_mcq.py (9ede1af0143a):
columns `index`, `image` and further text. A cell of `image` is an image file in base64, or the `index` of a row that
holds the image (a text of 64 characters or fewer), or a list of base64 strings printed by Python. Rows with an empty
cell are left out, as there. Otherwise than there an option 'None' is a text and not an empty cell.
"""

import ast
import base64
import binascii
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import require
from bridgelab.benchmark.readers.kept_rows import file_identity, kept_rows, save_image

LONGEST_INDEX = 64  # a longer cell is an image
LAYOUT = "a table of tab-separated columns with index, image, question, answer, and A, B, … for the options"
Row = dict[str, Any]


def image_table(path: Path, folder: Path, required: tuple[str, ...], source: str) -> list[Row]:
    """Return the rows of a table; the value of `image` is a list of absolute paths. Later calls read only `folder`.

    Args:
        path: of the table.
        folder: where images and rows are kept.
        required: columns that it must have, beside `index` and `image`.
        source: where the table is published, for the message if it is missing.
    Raises:
        FileNotFoundError: if the table is missing.
        ValueError: if it lacks a column, an `index` is repeated, a cell is neither an image nor the index of a row that
            holds one, or a row has too few or too many cells.
    """
    require(path, LAYOUT, f"Get it from {source}, or set benchmark.root and benchmark.file.")

    def read(images: Path) -> list[Row]:
        return _read(path, ("index", "image", *required), images)

    return kept_rows(folder, {"table": file_identity(path)}, read, ("image",), str(path))


def _read(path: Path, required: tuple[str, ...], images: Path) -> list[Row]:
    rows: list[Row] = []
    holders: dict[str, list[str]] = {}  # the image files of the rows that hold their own
    seen: set[str] = set()
    for row in _lines(path, required):
        if row["index"] in seen:
            raise ValueError(
                f"{path}: index {row['index']!r} occurs twice, and must be unique. Get the table again."
            )
        seen.add(row["index"])
        if len(row["image"]) > LONGEST_INDEX:
            where = f"{path}, row with index {row['index']}"
            holders[row["index"]] = [
                save_image(content, images, where) for content in _decoded(row["image"], where)
            ]
        if row["image"]:
            rows.append(row)
    for row in rows:
        own = row["index"] if len(row["image"]) > LONGEST_INDEX else row["image"].strip()
        if own not in holders:
            raise ValueError(
                f"{path}, row with index {row['index']}: image={row['image']!r} must be an image in base64, or the index of a "
                "row that holds one, and no row with this index does. Get the table again."
            )
        row["image"] = holders[own]
    return rows


def _lines(path: Path, required: tuple[str, ...]) -> Iterator[Row]:
    """Yield each row as column -> text."""
    limit = csv.field_size_limit(sys.maxsize)  # images are longer than csv's cells may be
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", strict=True)
            if missing := [column for column in required if column not in (reader.fieldnames or ())]:
                raise ValueError(
                    f"{path} has no column {', '.join(missing)}, but {', '.join(reader.fieldnames or ['none at all'])}. "
                    f"Expected layout: {LAYOUT}. Give a table of this layout."
                )
            for number, row in enumerate(reader, start=1):
                if None in row or None in row.values():
                    raise ValueError(
                        f"{path}, row {number} has another number of cells than the {len(reader.fieldnames or ())} columns. "
                        "Get the table again."
                    )
                yield {column: text.strip() if column == "index" else text for column, text in row.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} can't be read ({error}): it must be {LAYOUT}. Get the table again."
        ) from error
    finally:
        csv.field_size_limit(limit)


def _decoded(cell: str, where: str) -> list[bytes]:
    """Return the image files of a cell that holds one or a list of them in base64."""
    try:
        texts = ast.literal_eval(cell) if cell.startswith("[") else [cell]
        if not texts:
            raise ValueError("an empty list")
        return [base64.b64decode(text, validate=True) for text in texts]
    # The last two come from brackets or signs that are nested thousands deep.
    except (binascii.Error, ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{where}: image={cell[:24]!r}… is not base64 ({str(error)[:100]}): it must be an image in base64, a list of them, or the "
            "index of a row that holds one. Get the table again."
        ) from error
