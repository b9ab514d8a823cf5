"""A study's tables for elsewhere: as CSV, one line a number, and as LaTeX, for a paper."""

import csv
import io
import math

from bridgelab.report.table import Cell, StudyTable, Table

COLUMNS = ("table", "row", "column", "value", "low", "high", "level", "unit", "outcome", "text")
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "−": "$-$", "–": "--", "±": r"$\pm$", "δ": r"$\delta$",
    }
)  # fmt: skip


def to_csv(table: StudyTable) -> str:
    """One line a cell, numbers as numbers: value, ends and level of its interval, unit and outcome; `text` is what is printed.

    A cell that is no number has its text alone. After them one line a note, of the table "notes".
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for grid in table.grids:
        for _, (first, *others) in grid.rows:
            for head, cell in zip(grid.heads[1:], others, strict=True):
                place = (_text(grid.title), _text(first.text), _text(head))
                writer.writerow(
                    (*place, *_numbers(cell), _text(" ".join(filter(None, (cell.text, cell.interval)))))
                )
    for number, note in enumerate((*table.said, *table.notes), start=1):
        writer.writerow(("notes", str(number), "", *_numbers(Cell("")), _text(note)))
    return out.getvalue()


def _numbers(cell: Cell) -> tuple[str, ...]:
    if cell.number is None:
        return ("",) * 6
    found = cell.number
    numbers = (
        "" if math.isnan(one) else f"{one:.10g}" for one in (found.value, found.low, found.high, found.level)
    )
    return (*numbers, found.unit, _text(found.outcome))


def _text(text: str) -> str:
    """A cell that a spreadsheet takes for text: what begins like a formula would be computed."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def to_latex(table: StudyTable) -> str:
    """A `table` for each grid, with booktabs' rules; intervals below their numbers, notes as a comment at the end."""
    parts = [_grid(grid) for grid in table.grids]
    return "\n".join(
        ["% needs \\usepackage{booktabs}", *parts, *(f"% {note}" for note in (*table.said, *table.notes)), ""]
    )


def _grid(grid: Table) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{grid.title.translate(_LATEX)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(grid.heads) - 1)}}}",
        r"\toprule",
        " & ".join(head.translate(_LATEX) for head in grid.heads) + r" \\",
        r"\midrule",
    ]
    before = grid.rows[0][0] if grid.rows else ""
    for role, cells in grid.rows:
        if role != before:
            lines.append(r"\midrule")
        before = role
        lines.append(" & ".join(cell.text.translate(_LATEX) for cell in cells) + r" \\")
        if any(cell.interval for cell in cells):
            lines.append(" & ".join(_small(cell) for cell in cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _small(cell: Cell) -> str:
    return rf"{{\scriptsize {cell.interval.translate(_LATEX)}}}" if cell.interval else ""
