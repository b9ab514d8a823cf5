"""What stands behind the cells of the verdict matrix: differences with their intervals, and the accuracies of both bridges."""

import json
import math
from dataclasses import dataclass

from bridgelab.report.charts.differences import difference_chart
from bridgelab.report.charts.encodings import kind_label, seed_values
from bridgelab.report.charts.render import vega_lite
from bridgelab.report.contents import Analysis
from bridgelab.report.matrix import Matrix, MatrixCell, matrix
from bridgelab.report.row import Row
from bridgelab.report.table import format_number, format_signed
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS
from bridgelab.statistics.verdict import rows_to_compare


@dataclass(frozen=True)
class Case:
    """The evidence of one cell.

    Args:
        kind: of question, as printed.
        cell: of the matrix.
        finding: the outcome in one sentence.
        accuracies: a sentence on the accuracy of each of the two bridges, with that of each seed or order of examples.
    """

    kind: str
    cell: MatrixCell
    finding: str
    accuracies: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The evidence against one comparator, over all kinds of question.

    Args:
        comparator: the row of the study.
        baseline: the row that it is compared with.
        chart: the differences, as a specification in JSON.
        cases: one for each kind of question.
    """

    comparator: str
    baseline: str
    chart: str
    cases: tuple[Case, ...]

    @property
    def limited(self) -> bool:
        """Whether an outcome holds at this budget only."""
        return any(case.cell.limited for case in self.cases)


def evidence(analysis: Analysis) -> tuple[Matrix | None, list[Comparison]]:
    """Return the matrix of a study's verdict and the evidence of each of its rows; None and nothing without a verdict."""
    judged = analysis.verdict
    if judged is None:
        return None, []
    rows = {row.name: row for row in analysis.summary.rows}
    baselines = rows_to_compare(analysis.study, judged.baseline)
    table = matrix(judged)
    comparisons = []
    for comparator in table.comparators:
        both = [rows[baselines[comparator]], rows[comparator]]
        cases = [
            Case(
                kind_label(kind),
                table.cells[comparator, kind],
                _finding(table, table.cells[comparator, kind]),
                tuple(_accuracy(row, kind) for row in both if kind in row.accuracy),
            )
            for kind in table.kinds
        ]
        chart = json.dumps(vega_lite(difference_chart(table, comparator)), allow_nan=False)
        comparisons.append(Comparison(comparator, both[0].name, chart, tuple(cases)))
    return table, comparisons


def _finding(table: Matrix, cell: MatrixCell) -> str:
    """Say what one cell found, in words."""
    name, points = table.baseline, f"{table.delta:g} points"
    said = {
        BREAKS: f"{name} breaks: it is more than {points} below",
        LEADS: f"{name} leads: it is more than {points} above",
        HOLDS: f"{name} holds: the difference is smaller than {points}",
        CANNOT_TELL: "Undecided",
    }[cell.outcome]
    interval = (
        ""
        if math.isnan(cell.low)
        else f"; {_percent(cell.level)} % interval {format_number(cell.low, 1)} to {format_number(cell.high, 1)}"
    )
    reason = f"; {cell.reason}" if cell.reason else ""
    return f"{said} ({format_signed(cell.difference, 1)} points{interval}{reason})."


def _percent(level: float) -> str:
    """Return a level below 1 in percent with three digits, or with as many as tell it from 100."""
    return next(text for digits in range(3, 18) if (text := f"{100 * level:.{digits}g}") != "100")


def _accuracy(row: Row, kind: str) -> str:
    estimate = row.accuracy[kind]
    values = seed_values(estimate) if row.seeds > 1 else []
    each = f" ({row.counted} {', '.join(format_number(value, 1) for value in values)})" if values else ""
    return f"{row.label}: {format_number(100 * float(estimate.value), 1)} %{each}"
