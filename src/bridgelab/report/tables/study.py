"""The main tables of a study: accuracy by reasoning type, the gap closed, accuracy through captions, and costs."""

import math
from dataclasses import replace

from bridgelab.report.notes import notes
from bridgelab.report.row import ALL, Row
from bridgelab.report.summary import Summary
from bridgelab.report.table import (
    NONE,
    Cell,
    Cells,
    Quantity,
    StudyTables,
    Table,
    count_cell,
    decimal_cell,
    format_si,
    format_signed,
    percent_cell,
)
from bridgelab.statistics.convergence import Convergence
from bridgelab.statistics.estimate import LEVEL


def study_tables(summary: Summary) -> StudyTables:
    """Return the tables that have rows, and the notes below them."""
    tables = (accuracy_table(summary), gap_table(summary), captioned_table(summary), cost_table(summary))
    return StudyTables(summary.heading, tuple(table for table in tables if table.rows), tuple(notes(summary)))


def _columns(summary: Summary) -> tuple[str, ...]:
    return tuple("all" if name == ALL else name.replace("_", " ") for name in summary.questions)


def accuracy_table(summary: Summary) -> Table:
    """Return accuracy by kind of question, with what the last doubling of the training brought."""
    rows = [
        (
            row.role,
            (
                Cell(row.label),
                *(percent_cell(row.accuracy.get(name)) for name in summary.questions),
                _last_doubling(row),
            ),
        )
        for row in summary.rows
    ]
    return Table("Accuracy, %", ("bridge", *_columns(summary), "last doubling"), tuple(rows))


def _last_doubling(row: Row) -> Cell:
    """What validation accuracy gained from half of the steps to all of them, in points, with its upper bound."""
    convergence = row.convergence
    if convergence is None:
        return Cell("not trained" if row.role == "bridge" else NONE)
    if not len(convergence.gains):
        return Cell(NONE, "one budget")
    gain, bound = 100 * convergence.gain, 100 * convergence.upper_bound
    outcome = "converged" if convergence.is_shown else "not converged"
    quantity = Quantity(gain, high=bound, level=LEVEL, unit="points", outcome=outcome)
    if math.isnan(bound):
        return Cell(format_signed(gain, 1), "one seed", replace(quantity, level=math.nan))
    detail = _at_most(convergence)
    if start := convergence.start:  # its bound decides as well
        gained = (
            f"{format_signed(100 * start.gain, 1)}, {_at_most(start)}" if len(start.gains) else "one budget"
        )
        detail += f"; its warm start {gained}"
    return Cell(format_signed(gain, 1), f"{detail}; {outcome}", quantity)


def _at_most(convergence: Convergence) -> str:
    return f"at most {format_signed(100 * convergence.upper_bound, 1)}"


def gap_table(summary: Summary) -> Table:
    """Return the gap closed by kind of question; without rows if there is none."""
    rows = [
        (row.role, (Cell(row.label), *(percent_cell(row.gap[name], digits=0) for name in summary.questions)))
        for row in summary.rows
        if row.gap
    ]
    return Table("Gap closed, %", ("bridge", *_columns(summary)), tuple(rows))


def captioned_table(summary: Summary) -> Table:
    """Return accuracy from each bridge's own captions in place of its tokens; without rows if it was not recorded."""
    rows = [
        (
            row.role,
            (
                Cell(row.label),
                *(percent_cell(row.captioned[name]) for name in summary.questions),
                percent_cell(row.accuracy[ALL] - row.captioned[ALL], unit="points"),
            ),
        )
        for row in summary.rows
        if row.captioned
    ]
    return Table(
        "Accuracy through words, %: the bridge's own caption in place of its tokens",
        ("bridge", *_columns(summary), "tokens above it"),
        tuple(rows),
    )


def cost_table(summary: Summary) -> Table:
    """Return scores of captions, costs and seeds."""
    columns = (
        "bridge",
        "CIDEr-D",
        "attributes right, %",
        "parameters",
        "visual tokens",
        "FLOPs an example",
        "seeds",
    )
    rows = [(row.role, _cost_cells(row)) for row in summary.rows if row.costs or row.captions]
    return Table("Captions and costs", columns, tuple(rows))


def _cost_cells(row: Row) -> Cells:
    flops = row.costs.get("flops")
    return (
        Cell(row.label),
        decimal_cell(row.captions.get("cider")),
        percent_cell(row.captions.get("attributes")),
        count_cell(row.costs.get("parameters")),
        count_cell(row.costs.get("visual_tokens")),
        count_cell(flops, None if flops is None else format_si(flops)),
        count_cell(row.seeds or None),
    )
