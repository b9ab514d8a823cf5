"""A study's numbers as text: for the terminal, as markdown and as HTML, from one set of cells.

Rows stand in the order of the sweep. They are never sorted by a result and none is set in bold: where bridges have not
converged a ranking would be false, and where they have it is the intervals that a reader should compare.
"""

import html
import math
from dataclasses import dataclass, field, replace

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from bridgelab.printable import printable
from bridgelab.report.summary import ALL, CONSISTENCY, Row, Summary
from bridgelab.statistics.estimate import LEVEL, Estimate
from bridgelab.statistics.gap_closed import MIN_GAP, Ratio

NONE = "–"


@dataclass(frozen=True)
class Measured:
    """A cell's number as a number, in the unit that is printed: what is `text` and `interval` to a reader.

    Args:
        low: the lower end of the interval in which the outcome is seen, where there is one; nan without an interval.
        high: likewise.
        level: of the interval.
        unit: "%", "points", or empty.
        outcome: of a difference that is judged; else empty.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    level: float = math.nan
    unit: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class Cell:
    """A number as printed, below it its interval, and both as numbers; None where the cell is no number.

    Cells are the same if they print the same.
    """

    text: str
    interval: str = ""
    number: Measured | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _make_plain(self, text=printable(self.text), interval=printable(self.interval))


@dataclass(frozen=True)
class Table:
    """One table: a title, the heads of its columns, and its rows, by role."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]  # (role, cells)

    def __post_init__(self) -> None:
        _make_plain(self, title=printable(self.title), heads=tuple(map(printable, self.heads)))


@dataclass(frozen=True)
class StudyTable:
    """What is printed of a study."""

    heading: str
    grids: tuple[Table, ...]
    notes: tuple[str, ...]
    said: tuple[str, ...] = ()  # the verdict in sentences

    def __post_init__(self) -> None:
        said, notes = (tuple(map(printable, lines)) for lines in (self.said, self.notes))
        _make_plain(self, heading=printable(self.heading), said=said, notes=notes)


def _make_plain(one: Cell | Table | StudyTable, **texts: str | tuple[str, ...]) -> None:
    """Names come from records, which may be anybody's: whatever prints a table has them as text alone."""
    for name, text in texts.items():
        object.__setattr__(one, name, text)


def study_table(summary: Summary) -> StudyTable:
    """The study's tables: accuracy by reasoning type, the gap closed, through words, captions and costs."""
    types = list(summary.questions)
    heads = tuple("all" if name == ALL else name.replace("_", " ") for name in types)
    accuracy = [
        (
            row.role,
            (Cell(row.label), *(percent(row.accuracy.get(name)) for name in types), _last_doubling(row)),
        )
        for row in summary.rows
    ]
    gap = [
        (row.role, (Cell(row.label), *(percent(row.gap[name], digits=0) for name in types)))
        for row in summary.rows
        if row.gap
    ]
    captioned = [
        (
            row.role,
            (
                Cell(row.label),
                *(percent(row.captioned[name]) for name in types),
                percent(row.accuracy[ALL] - row.captioned[ALL], unit="points"),
            ),
        )
        for row in summary.rows
        if row.captioned
    ]
    costs = [(row.role, _costs(row)) for row in summary.rows if row.costs or row.captions]
    grids = [
        Table("Accuracy, %", ("bridge", *heads, "last doubling"), tuple(accuracy)),
        Table("Gap closed, %", ("bridge", *heads), tuple(gap)),
        Table(
            "Accuracy through words, %: the bridge's own caption in place of its tokens",
            ("bridge", *heads, "tokens above it"),
            tuple(captioned),
        ),
        Table(
            "Captions and costs",
            (
                "bridge",
                "CIDEr-D",
                "attributes right, %",
                "parameters",
                "visual tokens",
                "FLOPs an example",
                "seeds",
            ),
            tuple(costs),
        ),
    ]
    return StudyTable(summary.heading, tuple(grid for grid in grids if grid.rows), tuple(_notes(summary)))


def curve_table(summary: Summary) -> Table | None:
    """Validation accuracy, or what else curves are of, while training, mean over seeds; None where nothing was trained."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in summary.rows:
        for curve in row.curves:
            for step, accuracy in curve:
                found.setdefault(row.label, {}).setdefault(int(step), []).append(float(accuracy))
    steps = sorted({step for each in found.values() for step in each})
    if not steps:
        return None
    rows = []
    for label, each in found.items():
        means = [100 * sum(each[step]) / len(each[step]) if each.get(step) else None for step in steps]
        cells = [
            Cell(NONE) if mean is None else Cell(number(mean, 1), number=Measured(mean, unit="%"))
            for mean in means
        ]
        rows.append(("curve", (Cell(label), *cells)))
    heads = ("bridge", *(f"step {step:,}" for step in steps))
    return Table(f"Validation {summary.curve_of} while training, %, mean over seeds", heads, tuple(rows))


def budget_table(summary: Summary) -> Table | None:
    """Validation accuracy at each budget, mean over seeds; None where every run has one budget."""
    found = {
        row.label: row.convergence
        for row in summary.rows
        if row.convergence and len(row.convergence.steps) > 1
    }
    every = sorted({steps for one in found.values() for steps in one.steps})
    rows = []
    for label, one in found.items():
        means = dict(zip(one.steps, 100 * one.accuracy.mean(axis=0), strict=True))
        cells = [
            Cell(number(means[steps], 1), number=Measured(float(means[steps]), unit="%"))
            if steps in means
            else Cell(NONE)
            for steps in every
        ]
        rows.append(("budget", (Cell(label), *cells)))
    heads = ("bridge", *(f"{steps:,} steps" for steps in every))
    title = f"Validation {summary.curve_of} at each budget, %, mean over seeds"
    return Table(title, heads, tuple(rows)) if rows else None


def percent(estimate: Estimate | Ratio | None, digits: int = 1, unit: str = "%") -> Cell:
    """A share in percent, or a difference of shares in points, with its interval; a dash where there is none."""
    return Cell(NONE) if estimate is None else _cell(estimate, scale=100, digits=digits, unit=unit)


def decimal(estimate: Estimate, digits: int = 2) -> Cell:
    """A number that is no share, with its interval."""
    return _cell(estimate, scale=1, digits=digits)


def count(value: float, text: str | None = None) -> Cell:
    """A number that has no interval, as `text` or whole."""
    return Cell(f"{value:,.0f}" if text is None else text, number=Measured(float(value)))


def _cell(estimate: Estimate | Ratio, *, scale: float, digits: int, unit: str = "") -> Cell:
    if estimate.value != estimate.value:
        return Cell(NONE)
    value, (low, high) = scale * estimate.value, (scale * end for end in estimate.interval)
    level = LEVEL if low == low else math.nan
    return Cell(
        number(value, digits),
        between(low, high, digits) if low == low else "",
        Measured(value, low, high, level, unit),
    )


def between(low: float, high: float, digits: int) -> str:
    """An interval: '1.0–2.0', or '−1.0 to 2.0' where a sign would stand beside the dash."""
    return f"{number(low, digits)}{' to ' if low < 0 else '–'}{number(high, digits)}"


def number(value: float, digits: int) -> str:
    """Rounded, with a true minus, which zero never has."""
    text = f"{value:.{digits}f}"
    return (text[1:] if float(text) == 0 and text[0] == "-" else text).replace("-", "−")


def _last_doubling(row: Row) -> Cell:
    """What validation accuracy gained from half of the steps to all, in points, with its upper bound."""
    found = row.convergence
    if found is None:
        return Cell("not trained" if row.role == "bridge" else NONE)
    if not len(found.gains):
        return Cell(NONE, "one budget")
    gain, bound = 100 * found.gain, 100 * found.upper_bound
    seen = Measured(
        gain,
        high=bound,
        level=LEVEL,
        unit="points",
        outcome="converged" if found.is_shown else "not converged",
    )
    if bound != bound:
        return Cell(signed(gain, 1), "one seed", replace(seen, level=math.nan))
    return Cell(signed(gain, 1), f"at most {signed(bound, 1)}; {seen.outcome}", seen)


def signed(value: float, digits: int) -> str:
    """A difference, rounded: always with its sign."""
    text = number(value, digits)
    return text if text.startswith("−") else f"+{text}"


def _costs(row: Row) -> tuple[Cell, ...]:
    def cost(name: str) -> Cell:
        return count(row.costs[name]) if name in row.costs else Cell(NONE)

    flops = count(row.costs["flops"], scaled(row.costs["flops"])) if "flops" in row.costs else Cell(NONE)
    cider = row.captions.get("cider")
    return (
        Cell(row.label),
        decimal(cider) if cider else Cell(NONE),
        percent(row.captions.get("attributes")),
        cost("parameters"),
        cost("visual_tokens"),
        flops,
        count(row.seeds) if row.seeds else Cell(NONE),
    )


def scaled(value: float) -> str:
    """Three digits and a unit: 667 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _notes(summary: Summary) -> list[str]:
    notes = []
    if any(row.convergence for row in summary.rows):
        delta = next(row.convergence.delta for row in summary.rows if row.convergence)
        rows = ", ".join(row.name for row in summary.not_converged)
        notes.append(
            "Last doubling: what validation accuracy gained from half of the steps to all of them, each with a schedule of its own, and at "
            f"most (one-sided 95 % bound over seeds). Below {100 * delta:g} points a bridge has converged"
            + (
                f"; not shown for {rows}. No ranking is drawn: rows stand in the order of the sweep."
                if rows
                else "."
            )
        )
    by_type = [
        f"{name.replace('_', ' ')} {count}"
        for name, count in summary.questions.items()
        if name not in (ALL, CONSISTENCY)
    ]
    groups = summary.questions.get(CONSISTENCY)
    drawn = "images" if groups is None else "groups of images"
    notes.append(
        f"{summary.questions[ALL]} questions on {summary.images} images"
        + (f" ({', '.join(by_type)})" if by_type else "")
        + (
            f". Ranges are 95 % intervals over seeds and {drawn} (Student's t on the verdict's variance, the same {drawn} for all rows; "
            "Fieller's for shares)."
            if any(one.contributions for row in summary.rows for one in row.accuracy.values())
            else ". No interval is given."
        )
    )
    if groups is not None:
        notes.append(f"Consistency is the share of the {groups} groups in which every answer is right.")
    if any(row.gap for row in summary.rows):
        instead = "" if summary.ceiling == "words" else f", with {summary.ceiling} for words"
        notes.append(
            f"Gap closed = (bridge − blind) / (words − blind){instead}; not "
            f"clipped, and not given (–) where words − blind is under {100 * MIN_GAP:.0f} points or not told from 0."
        )
    else:
        lacking = [
            name for name in ("blind", "words_prompted") if name not in {row.name for row in summary.rows}
        ]
        notes.append(
            f"The gap closed is not given: no finished run of {' and '.join(lacking or ['a bridge'])}."
        )
    overall = {row.name: row.accuracy[ALL] for row in summary.rows if row.accuracy}
    if {"words", "words_patch_like"} <= set(overall):
        apart = overall["words"] - overall["words_patch_like"]
        low, high = (f"{100 * end:+.1f}" for end in apart.interval)
        notes.append(
            f"The T5 reads the scene in words {100 * apart.value:+.1f} points ({low} to {high}) better where each "
            "object stands once than where it stands in raster order with repeats: a lead that it may give to bridges "
            "which hand over the one or the other."
        )
    notes.extend(summary.remarks)
    if summary.missing:
        cells = "; ".join(str(cell) for cell in summary.missing)
        notes.append(f"Missing from this table, {len(summary.missing)}: {cells}.")
    return notes


def to_rich(table: StudyTable) -> Group:
    """For the terminal; nothing in a name is read as markup."""
    parts: list[RichTable | Text] = [Text(table.heading, style="bold")]
    for grid in table.grids:
        printed = RichTable(
            title=Text(grid.title), title_justify="left", box=SIMPLE, padding=(0, 1), pad_edge=False
        )
        for index, head in enumerate(grid.heads):
            printed.add_column(
                Text("\n".join(head.rsplit(" ", 1))), justify="left" if index == 0 else "right"
            )
        for index, (role, cells) in enumerate(grid.rows):
            if index and role != grid.rows[index - 1][0]:
                printed.add_section()
            printed.add_row(*(_rich_cell(cell) for cell in cells))
        parts.append(printed)
    parts.extend(Text(f"· {note}") for note in (*table.said, *table.notes))
    return Group(*parts)


def _rich_cell(cell: Cell) -> Text:
    text = Text(cell.text)
    return text.append(f"\n{cell.interval}", style="dim") if cell.interval else text


def to_markdown(table: StudyTable) -> str:
    """For a README: pipe tables, with what markdown or HTML would read as markup escaped."""
    lines = [f"### {_escape(table.heading)}", ""]
    for grid in table.grids:
        lines += [f"**{_escape(grid.title)}**", "", _pipe(grid.heads)]
        lines.append(_pipe(["---", *["---:"] * (len(grid.heads) - 1)], escape=False))
        lines += [
            _pipe([f"{c.text} ({c.interval})" if c.interval else c.text for c in row]) for _, row in grid.rows
        ]
        lines.append("")
    return "\n".join([*lines, *(f"- {_escape(note)}" for note in (*table.said, *table.notes)), ""])


def _pipe(cells: tuple[str, ...] | list[str], *, escape: bool = True) -> str:
    return "| " + " | ".join(_escape(cell) if escape else cell for cell in cells) + " |"


def _escape(text: str) -> str:
    text = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\`*_[]|#~":
        text = text.replace(mark, "\\" + mark)
    return text


def to_html(table: StudyTable) -> str:
    """For a notebook: a heading, the tables and the notes."""
    notes = "\n".join(f"<li>{html.escape(note)}</li>" for note in (*table.said, *table.notes))
    heading = f"<h1>{html.escape(table.heading)}</h1>"
    return "\n".join([heading, *map(table_to_html, table.grids), f"<ul>{notes}</ul>"])


def table_to_html(grid: Table) -> str:
    """One table in a box that scrolls by itself."""
    heads = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in grid.heads)
    parts = [
        f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(grid.title)}">'
        f"<table><caption>{html.escape(grid.title)}</caption><thead><tr>{heads}</tr></thead>"
    ]
    for index, (role, cells) in enumerate(grid.rows):
        if index == 0 or role != grid.rows[index - 1][0]:
            parts.append("</tbody>" * (index > 0) + f'<tbody class="{html.escape(role)}">')
        first, *others = cells
        values = "".join(f"<td>{_html_cell(cell)}</td>" for cell in others)
        parts.append(f'<tr><th scope="row">{html.escape(first.text)}</th>{values}</tr>')
    return "\n".join([*parts, "</tbody></table></div>"])


def _html_cell(cell: Cell) -> str:
    # The space is for where nobody styles it, as in a notebook.
    interval = f" <small>{html.escape(cell.interval)}</small>" if cell.interval else ""
    return html.escape(cell.text) + interval
