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

CAPTION_SCORES = ("CIDEr-D", "attributes right, %")


def study_tables(summary: Summary) -> StudyTables:
    """Return the tables that have rows, and the notes below them."""
    makers = (accuracy_table, caption_table, gap_table, captioned_table, cost_table)
    tables = [make(summary) for make in makers]
    return StudyTables(summary.heading, tuple(table for table in tables if table.rows), tuple(notes(summary)))


def _columns(summary: Summary) -> tuple[str, ...]:
    return tuple("all" if name == ALL else name.replace("_", " ") for name in summary.questions)


def accuracy_table(summary: Summary) -> Table:
    """Return accuracy by kind of question, with what the last doubling of the training brought; without rows if none was asked."""
    asked = summary.rows if summary.questions[ALL] else ()
    rows = [
        (
            row.role,
            (
                Cell(row.label),
                *(percent_cell(row.accuracy.get(name)) for name in summary.questions),
                _last_doubling(row),
            ),
        )
        for row in asked
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


def caption_table(summary: Summary) -> Table:
    """Return scores of captions alone, with what the last doubling of the training brought; without rows if there are questions."""
    rows = [
        (row.role, (Cell(row.label), *_caption_cells(row), _last_doubling(row)))
        for row in summary.rows
        if not summary.questions[ALL]
    ]
    return Table("Captions", ("bridge", *CAPTION_SCORES, "last doubling"), tuple(rows))


def cost_table(summary: Summary) -> Table:
    """Return costs and seeds, after the scores of captions unless they have a table of their own."""
    beside = bool(summary.questions[ALL])
    rows = [
        (row.role, (Cell(row.label), *(_caption_cells(row) if beside else ()), *_cost_cells(row)))
        for row in summary.rows
        if row.costs or (row.captions and beside)
    ]
    scores = CAPTION_SCORES if beside else ()
    columns = ("bridge", *scores, "parameters", "visual tokens", "FLOPs an example", "seeds")
    return Table("Captions and costs" if beside else "Costs", columns, tuple(rows))


def _caption_cells(row: Row) -> Cells:
    return decimal_cell(row.captions.get("cider")), percent_cell(row.captions.get("attributes"))


def _cost_cells(row: Row) -> Cells:
    flops = row.costs.get("flops")
    return (
        count_cell(row.costs.get("parameters")),
        count_cell(row.costs.get("visual_tokens")),
        count_cell(flops, None if flops is None else format_si(flops)),
        count_cell(row.seeds or None),
    )
