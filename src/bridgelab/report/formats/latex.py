"""A study's tables as LaTeX, for a paper."""

from collections.abc import Iterable

from bridgelab.report.table import Cell, StudyTables, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "−": "$-$", "–": "--", "±": r"$\pm$", "δ": r"$\delta$",
    }
)  # fmt: skip


def to_latex(study: StudyTables) -> str:
    """Write each table as a `table` with booktabs' rules and intervals below their numbers; notes follow as comments."""
    notes = (f"% {note}" for note in (*study.verdict, *study.notes))
    return "\n".join(["% needs \\usepackage{booktabs}", *map(_table, study.tables), *notes, ""])


def _table(table: Table) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        _row(map(_escape, table.columns)),
    ]
    for _, rows in table.sections:
        lines.append(r"\midrule")
        for cells in rows:
            lines.append(_row(_escape(cell.text) for cell in cells))
            if any(cell.interval for cell in cells):
                lines.append(_row(map(_interval, cells)))
    if not table.rows:
        lines.append(r"\midrule")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def _interval(cell: Cell) -> str:
    return rf"{{\scriptsize {_escape(cell.interval)}}}" if cell.interval else ""


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
