"""A study's tables for elsewhere: as CSV, one line a number, and as LaTeX, for a paper."""

import csv
import io

from bridgelab.analysis.table import Cell, Grid, StudyTable

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "−": "$-$", "–": "--", "±": r"$\pm$", "δ": r"$\delta$",
    }
)  # fmt: skip


def to_csv(table: StudyTable) -> str:
    """One line a cell: table, row, column, number, and its interval with outcome as printed; numbers with a plain minus.

    After them one line a note, of the table "notes".
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value", "interval"))
    for grid in table.grids:
        for _, (first, *others) in grid.rows:
            for head, cell in zip(grid.heads[1:], others, strict=True):
                writer.writerow((grid.title, first.text, head, _plain(cell.text), _plain(cell.interval)))
    for number, note in enumerate((*table.said, *table.notes), start=1):
        writer.writerow(("notes", str(number), "", note, ""))
    return out.getvalue()


def to_latex(table: StudyTable) -> str:
    """A `table` for each grid, with booktabs' rules; intervals below their numbers, notes as a comment at the end."""
    parts = [_grid(grid) for grid in table.grids]
    return "\n".join(
        ["% needs \\usepackage{booktabs}", *parts, *(f"% {note}" for note in (*table.said, *table.notes)), ""]
    )


def _grid(grid: Grid) -> str:
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


def _plain(text: str) -> str:
    return text.replace("−", "-").replace("–", "" if text == "–" else " to ")
