"""A study's tables as CSV: one line per number."""

import csv
import io
import math

from bridgelab.printable import as_csv_cell
from bridgelab.report.table import Cell, StudyTables

COLUMNS = ("table", "row", "column", "value", "low", "high", "level", "unit", "outcome", "text")


def to_csv(study: StudyTables) -> str:
    """Write one line per cell, then one line per note in a table called "notes".

    A line holds the value, the ends and the level of its interval, its unit and its outcome as numbers, and the text as printed.
    Lines of cells without a number have their text alone.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in study.tables:
        for _, (name, *cells) in table.rows:
            for column, cell in zip(table.columns[1:], cells, strict=True):
                text = " ".join(filter(None, (cell.text, cell.interval)))
                writer.writerow(
                    (*map(as_csv_cell, (table.title, name.text, column)), *_quantity(cell), as_csv_cell(text))
                )
    for number, note in enumerate((*study.verdict, *study.notes), start=1):
        writer.writerow(("notes", str(number), "", *_quantity(Cell("")), as_csv_cell(note)))
    return out.getvalue()


def _quantity(cell: Cell) -> tuple[str, ...]:
    if cell.number is None:
        return ("",) * 6
    quantity = cell.number
    numbers = (quantity.value, quantity.low, quantity.high, quantity.level)
    return (
        *("" if math.isnan(number) else f"{number:.10g}" for number in numbers),
        quantity.unit,
        as_csv_cell(quantity.outcome),
    )
