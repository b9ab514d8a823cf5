"""A study's tables as markdown, for a README, and documents from templates."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bridgelab.report.matrix import Matrix
from bridgelab.report.table import Cell, StudyTables, Table


def to_markdown(study: StudyTables) -> str:
    """Write pipe tables and lists of notes; characters that markdown or HTML would read as markup are escaped."""
    notes = (f"- {escape(note)}" for note in (*study.verdict, *study.notes))
    return "\n".join([f"### {escape(study.heading)}", "", *map(_table, study.tables), *notes, ""])


def matrix_to_markdown(verdict: Matrix) -> str:
    """Write a verdict matrix as a pipe table: a row for each comparator, a column for each kind of question."""
    heads = [f"{verdict.baseline} −", *(kind.replace("_", " ") for kind in verdict.kinds)]
    rows = [
        [name, *(verdict.cells[name, kind].text for kind in verdict.kinds)] for name in verdict.comparators
    ]
    lines = [_row(map(escape, heads)), _row(["---", *["---:"] * len(verdict.kinds)])]
    return "\n".join([*lines, *(_row(map(escape, row)) for row in rows)])


def render_markdown(template: Path, **values: Any) -> str:
    """Render a template of a Markdown document; no value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(template.parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template(template.name).render(values)


def _table(table: Table) -> str:
    alignment = ["---", *["---:"] * (len(table.columns) - 1)]
    return "\n".join(
        [
            f"**{escape(table.title)}**",
            "",
            _row(map(escape, table.columns)),
            _row(alignment),
            *(_row(map(_cell, cells)) for _, cells in table.rows),
            "",
        ]
    )


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    return escape(f"{cell.text} ({cell.interval})" if cell.interval else cell.text)


def escape(text: str) -> str:
    """Return text as one line in which markdown and HTML read no markup: a picture would be loaded from wherever a name says."""
    text = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\`*_[]|#~":
        text = text.replace(mark, "\\" + mark)
    return text
