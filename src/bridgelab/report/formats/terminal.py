"""A study's tables in the terminal."""

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from bridgelab.report.table import Cell, StudyTables, Table


def print_paths(console: Console, *paths: Path) -> None:
    """Print the paths of written files, one a line and never folded."""
    for path in paths:
        console.print(str(path), style="dim", markup=False, highlight=False, soft_wrap=True)


def to_rich(study: StudyTables) -> Group:
    """Return what a rich console prints. Markup in names is not interpreted."""
    notes = (Text(f"· {note}") for note in (*study.verdict, *study.notes))
    return Group(Text(study.heading, style="bold"), *map(_table, study.tables), *notes)


def _table(table: Table) -> RichTable:
    printed = RichTable(
        title=Text(table.title), title_justify="left", box=SIMPLE, padding=(0, 1), pad_edge=False
    )
    for index, column in enumerate(table.columns):
        lines = Text("\n".join(column.rsplit(" ", 1)))
        printed.add_column(lines, justify="right" if index else "left")
    for _, rows in table.sections:
        for cells in rows:
            printed.add_row(*map(_cell, cells))
        printed.add_section()
    return printed


def _cell(cell: Cell) -> Text:
    text = Text(cell.text)
    return text.append(f"\n{cell.interval}", style="dim") if cell.interval else text
