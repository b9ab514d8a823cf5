"""Validation accuracy while training, and at each budget, as tables."""

from bridgelab.report.summary import Summary
from bridgelab.report.table import Cell, Table, format_signed, mean_cell


def start_table(summary: Summary) -> Table | None:
    """Return validation accuracy before the first step and at the end, of rows that start from trained weights; None without any."""
    rows = []
    for row in summary.rows:
        if row.started_from and (values := row.start_and_end):
            start, end = (100 * value for value in values)
            cells = (
                mean_cell(start),
                mean_cell(end),
                Cell(format_signed(end - start, 1)),
                Cell(row.started_from),
            )
            rows.append((row.role, (Cell(row.label), *cells)))
    columns = ("bridge", "step 0", "end", "gain, points", "started from")
    title = f"Validation {summary.curve_of} before and after training, %"
    return Table(title, columns, tuple(rows)) if rows else None


def curve_table(summary: Summary) -> Table | None:
    """Return the learning curves, mean over seeds, one column per step; None if nothing was trained."""
    values: dict[str, dict[int, list[float]]] = {}  # by row and step
    for row in summary.rows:
        for curve in row.curves:
            for step, accuracy in curve:
                values.setdefault(row.label, {}).setdefault(int(step), []).append(float(accuracy))
    steps = sorted({step for by_step in values.values() for step in by_step})
    if not steps:
        return None
    rows = []
    for label, by_step in values.items():
        means = {step: 100 * sum(seeds) / len(seeds) for step, seeds in by_step.items()}
        rows.append(("curve", (Cell(label), *(mean_cell(means.get(step)) for step in steps))))
    title = f"Validation {summary.curve_of} while training, %, mean over seeds"
    return Table(title, ("bridge", *(f"step {step:,}" for step in steps)), tuple(rows))


def budget_table(summary: Summary) -> Table | None:
    """Return validation accuracy, mean over seeds, one column per budget; None if every run has one budget."""
    several = {}
    for row in summary.rows:
        if row.convergence and len(row.convergence.steps) > 1:
            several[row.label] = row.convergence
            if row.convergence.start:
                several[f"{row.label}, its warm start"] = row.convergence.start
    if not several:
        return None
    budgets = sorted({steps for convergence in several.values() for steps in convergence.steps})
    rows = []
    for label, convergence in several.items():
        means = dict(zip(convergence.steps, 100 * convergence.accuracy.mean(axis=0), strict=True))
        rows.append(("budget", (Cell(label), *(mean_cell(means.get(steps)) for steps in budgets))))
    title = f"Validation {summary.curve_of} at each budget, %, mean over seeds"
    return Table(title, ("bridge", *(f"{steps:,} steps" for steps in budgets)), tuple(rows))
