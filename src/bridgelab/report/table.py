"""Tables of a study: cells that hold a number as printed and as a number, and the formatting of numbers.

Rows keep the order of the sweep. They are never sorted by result and no number is set in bold: a ranking of bridges that have not
converged would be false, and bridges that have converged should be compared by their intervals.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bridgelab.printable import printable
from bridgelab.statistics.estimate import LEVEL, Estimate
from bridgelab.statistics.gap_closed import Ratio

NONE = "–"  # printed where there is no number

Cells = tuple["Cell", ...]


@dataclass(frozen=True)
class Quantity:
    """The number in a cell, in the unit that is printed.

    Args:
        value: the point estimate.
        low: lower end of the interval that decides the outcome; nan without an interval.
        high: its upper end.
        level: its confidence level.
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
    """A printed number, the interval printed below it, and the number itself. Cells are equal if they print the same.

    Args:
        text: the number as printed, or a name.
        interval: printed below `text`; may be empty.
        number: None if the cell holds no number.
    """

    text: str
    interval: str = ""
    number: Quantity | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _sanitize(self, text=printable(self.text), interval=printable(self.interval))


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: its caption.
        columns: names of the columns, the first one that of the row names.
        rows: (role, cells) pairs; the first cell is the row's name.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Cells], ...]

    def __post_init__(self) -> None:
        _sanitize(self, title=printable(self.title), columns=tuple(map(printable, self.columns)))

    @property
    def sections(self) -> Iterator[tuple[str, list[Cells]]]:
        """Consecutive rows of one role, which are set apart from the next ones by a line."""
        for role, rows in itertools.groupby(self.rows, key=lambda row: row[0]):
            yield role, [cells for _, cells in rows]


@dataclass(frozen=True)
class StudyTables:
    """All that is printed of a study.

    Args:
        heading: the study and its benchmark.
        tables: in the order in which they are printed.
        notes: how to read the tables, and what to know about these runs.
        verdict: the verdict in sentences.
    """

    heading: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    verdict: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        verdict, notes = (tuple(map(printable, lines)) for lines in (self.verdict, self.notes))
        _sanitize(self, heading=printable(self.heading), verdict=verdict, notes=notes)


def _sanitize(instance: Cell | Table | StudyTables, **texts: str | tuple[str, ...]) -> None:
    """Replace fields of a frozen instance by their printable text, since names come from records that anybody may have written."""
    for name, text in texts.items():
        object.__setattr__(instance, name, text)


def percent_cell(estimate: Estimate | Ratio | None, digits: int = 1, unit: str = "%") -> Cell:
    """Return a share in percent, or a difference of shares in points, with its interval; a dash for None."""
    return Cell(NONE) if estimate is None else _estimate_cell(estimate, scale=100, digits=digits, unit=unit)


def decimal_cell(estimate: Estimate | None, digits: int = 2) -> Cell:
    """Return a number that is not a share, with its interval; a dash for None."""
    return Cell(NONE) if estimate is None else _estimate_cell(estimate, scale=1, digits=digits)


def count_cell(value: float | None, text: str | None = None) -> Cell:
    """Return a number without an interval, rounded to an integer or printed as `text`; a dash for None."""
    if value is None:
        return Cell(NONE)
    return Cell(f"{value:,.0f}" if text is None else text, number=Quantity(float(value)))


def mean_cell(percent: float | None) -> Cell:
    """Return a mean in percent, without an interval; a dash for None."""
    if percent is None:
        return Cell(NONE)
    return Cell(format_number(percent, 1), number=Quantity(float(percent), unit="%"))


def _estimate_cell(estimate: Estimate | Ratio, *, scale: float, digits: int, unit: str = "") -> Cell:
    if math.isnan(estimate.value):
        return Cell(NONE)
    value, (low, high) = scale * estimate.value, (scale * end for end in estimate.interval)
    if math.isnan(low):
        return Cell(format_number(value, digits), number=Quantity(value, low, high, unit=unit))
    interval = format_interval(low, high, digits)
    return Cell(format_number(value, digits), interval, Quantity(value, low, high, LEVEL, unit))


def format_number(value: float, digits: int) -> str:
    """Round to `digits` decimals, with a true minus sign, which zero never gets."""
    text = f"{value:.{digits}f}"
    return (text[1:] if float(text) == 0 and text[0] == "-" else text).replace("-", "−")


def format_signed(value: float, digits: int) -> str:
    """Round a difference to `digits` decimals, always with its sign."""
    text = format_number(value, digits)
    return text if text.startswith("−") else f"+{text}"


def format_interval(low: float, high: float, digits: int) -> str:
    """Return '1.0–2.0', or '−1.0 to 2.0' where a minus sign would stand beside the dash."""
    return f"{format_number(low, digits)}{' to ' if low < 0 else '–'}{format_number(high, digits)}"


def format_si(value: float) -> str:
    """Return three digits and an SI prefix: '667 M'."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:  # which three digits round to one of this prefix
            return f"{value / size:.3g} {prefix}"
    return f"{value:.0f}"


def enumerated(texts: Sequence[str]) -> str:
    """Join texts with commas and a final 'and'."""
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]
