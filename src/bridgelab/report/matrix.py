"""The verdict matrix: outcomes by comparator and kind of question, of a study or of a break map, as the terminal and the page show them."""

import math
from dataclasses import dataclass

from bridgelab.report.table import format_signed
from bridgelab.statistics.break_map import BreakMap
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS, Finding
from bridgelab.statistics.verdict import Verdict

SIGNS = {BREAKS: "▼", LEADS: "▲", HOLDS: "=", CANNOT_TELL: "?"}
BUDGET_MARK = "*"  # after a difference whose outcome holds at this budget only


@dataclass(frozen=True)
class MatrixCell:
    """One comparator and one kind of question.

    Args:
        comparator: the row of the study that the baseline is compared with.
        kind: of question.
        outcome: a key of `SIGNS`.
        difference: baseline − comparator, in points.
        low: lower end of the interval that decides the outcome, in points; nan if it is not known.
        high: its upper end.
        level: its confidence level.
        at_budget: whether the outcome holds at this budget only.
        reason: why the data cannot tell, and what would settle it; empty for other outcomes.
    """

    comparator: str
    kind: str
    outcome: str
    difference: float
    low: float
    high: float
    level: float
    at_budget: bool
    reason: str

    @property
    def sign(self) -> str:
        """One character for the outcome."""
        return SIGNS[self.outcome]

    @property
    def text(self) -> str:
        """The sign, the difference in points, and a mark if the outcome is limited to this budget: '▼ −8.1', '▲ +3.0*'."""
        return f"{self.sign} {format_signed(self.difference, 1)}{BUDGET_MARK * self.limited}"

    @property
    def limited(self) -> bool:
        """Whether there is an outcome, and it holds at this budget only."""
        return self.at_budget and self.outcome != CANNOT_TELL


@dataclass(frozen=True)
class Matrix:
    """The verdict of a study as a matrix.

    Args:
        baseline: the bridge that the verdict is about.
        delta: the least difference that matters, in points.
        comparators: rows of the matrix, in the order of the study.
        kinds: columns of the matrix.
        cells: by (comparator, kind); a break map lacks the kinds that a study of it has not.
    """

    baseline: str
    delta: float
    comparators: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: dict[tuple[str, str], MatrixCell]

    def of(self, outcome: str) -> list[MatrixCell]:
        """Return the cells with an outcome, row by row."""
        return [cell for cell in self.cells.values() if cell.outcome == outcome]


def matrix(verdict: Verdict) -> Matrix:
    """Return the matrix of a verdict. The headline is not a kind of question and not in it."""
    cells = {key: _cell(*key, finding) for key, finding in verdict.cells.items()}
    return Matrix(verdict.baseline, 100 * verdict.delta, verdict.comparators, verdict.kinds, cells)


def map_matrix(cells: BreakMap) -> Matrix:
    """Return a break map as one matrix, with a row for each comparator and level. Empty rows are left out."""
    rows = {
        (comparator, level): f"{comparator}, {level}"
        for comparator in cells.comparators
        for level in cells.levels
        if any(key[:2] == (comparator, level) for key in cells.cells)
    }
    shown = {(rows[key[:2]], key[2]): _cell(rows[key[:2]], key[2], one) for key, one in cells.cells.items()}
    return Matrix(cells.baseline, 100 * cells.delta, tuple(rows.values()), cells.kinds, shown)


def _cell(comparator: str, kind: str, finding: Finding) -> MatrixCell:
    low, high = (100 * end for end in finding.decisive_interval)
    return MatrixCell(
        comparator=comparator,
        kind=kind,
        outcome=finding.outcome,
        difference=100 * float(finding.contrast.value),
        low=low,
        high=high,
        level=math.nan if math.isnan(low) else finding.decisive_level,
        at_budget=finding.at_budget,
        reason=finding.reason,
    )
