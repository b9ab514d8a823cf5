"""A study in the terminal: the answer and the verdict matrix, and all tables on demand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bridgelab.printable import printable
from bridgelab.report.matrix import BUDGET_MARK, SIGNS, Matrix, MatrixCell
from bridgelab.report.table import Cell, StudyTables, Table
from bridgelab.statistics.outcome import AT_BUDGET, BREAKS, CANNOT_TELL, HOLDS, LEADS

WIDTH = 100  # of the first screen, at most
NAMES = 24  # of a matrix's rows: the width that these are left at least
COLORS = {BREAKS: "white on red", LEADS: "black on green", HOLDS: "black on cyan", CANNOT_TELL: "dim"}


def plain_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> RichTable:
    """Return a table of names in the first column and figures in the others."""
    table = RichTable(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table


def print_paths(console: Console, *paths: Path) -> None:
    """Print the paths of written files, one per line and never folded."""
    for path in paths:
        console.print(str(path), style="dim", markup=False, highlight=False, soft_wrap=True)


def print_commands(console: Console, commands: Mapping[str, str]) -> None:
    """Print commands, each after what it does."""
    width = max(map(len, commands), default=0)
    for what, command in commands.items():
        line = Text(f"{what:{width}}  ", style="dim").append(printable(command), style="bold")
        console.print(line, soft_wrap=True, highlight=False)


def print_answer(console: Console, heading: str, sentences: Sequence[str], verdict: Matrix | None) -> None:
    """Print the answer of a study.

    Args:
        console: where to print.
        heading: the study and its benchmark.
        sentences: printed below the heading, each on a line of its own.
        verdict: printed as a matrix below the sentences; None without one.
    """
    parts: list[RenderableType] = [Text(printable(heading), style="bold")]
    parts += [Text(printable(sentence)) for sentence in sentences]
    width = min(WIDTH, console.width)
    if verdict:
        for part in _blocks(verdict, width):
            parts += [Text(), matrix_table(part)]
        parts.append(_legend(verdict))
    console.print(Group(*parts), width=width)


def _blocks(verdict: Matrix, width: int) -> Iterator[Matrix]:
    """Part a matrix by its kinds of question, so that each part fits into a width without cut numbers. Names of rows may be folded."""
    left = width - min(NAMES, max(map(cell_len, (*verdict.comparators, f"{verdict.baseline} −")))) - 1
    kinds: list[str] = []
    room = left
    for kind in verdict.kinds:
        texts = [_padded(cell) for (_, of), cell in verdict.cells.items() if of == kind]
        needed = 2 + max(map(cell_len, (*kind.split("_"), *texts)))
        if kinds and needed > room:
            yield replace(verdict, kinds=tuple(kinds))
            kinds, room = [], left
        kinds.append(kind)
        room -= needed
    yield replace(verdict, kinds=tuple(kinds))


def matrix_table(verdict: Matrix) -> RichTable:
    """Return the verdict matrix: a line for each comparator, a column for each kind of question."""
    table = RichTable(box=None, padding=(0, 1), pad_edge=False)
    table.add_column(Text(printable(f"{verdict.baseline} −"), style="bold"), overflow="fold")
    for kind in verdict.kinds:
        table.add_column(Text("\n".join(printable(kind).split("_")), style="bold"), justify="right")
    for row in verdict.comparators:
        cells = [verdict.cells.get((row, kind)) for kind in verdict.kinds]
        texts = (Text(_padded(cell), style=COLORS[cell.outcome]) if cell else Text() for cell in cells)
        table.add_row(Text(printable(row)), *texts)
    return table


def _padded(cell: MatrixCell) -> str:
    return f" {cell.text:8}"


def _legend(verdict: Matrix) -> Text:
    points = f"{verdict.delta:g} points"
    meanings = {
        BREAKS: f"more than {points} below",
        LEADS: f"more than {points} above",
        HOLDS: "closer than that",
        CANNOT_TELL: "",
    }
    parts = [f"{SIGNS[one]} {one}{f': {meaning}' if meaning else ''}" for one, meaning in meanings.items()]
    limited = any(cell.limited for cell in verdict.cells.values())
    return Text("   ".join([*parts, *([f"{BUDGET_MARK} {AT_BUDGET}"] if limited else [])]), style="dim")


def to_rich(study: StudyTables) -> Group:
    """Return all tables and notes as a rich console prints them. Markup in names is not interpreted."""
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
