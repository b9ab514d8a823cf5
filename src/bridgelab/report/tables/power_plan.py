"""The plan of a study as a table: the smallest difference that it finds, by seeds and images."""

import math
from typing import Any

from bridgelab.report.row import label
from bridgelab.report.table import Cell, Quantity, StudyTables, Table, count_cell
from bridgelab.statistics.multiple_testing import ALPHA
from bridgelab.statistics.outcome import MIN_SEEDS
from bridgelab.statistics.power.plan import Plan, PlannedCell
from bridgelab.statistics.power.smallest_difference import RANGE

NOTHING = (
    "none"  # printed where even the largest difference that there can be, 100 points, would not be found
)


def plan_tables(plan: Plan) -> StudyTables:
    """Return the table that `bridgelab plan` prints, in points, with its notes."""
    rows = []
    for row in plan.rows:
        name = Cell(label(row.comparator))
        sizes = (count_cell(row.seeds), count_cell(row.images))
        rows.append((row.comparator, (name, *sizes, *(_cell(row.cells[kind]) for kind in plan.kinds))))
    columns = ("bridge", _counted(plan), "images", *(kind.replace("_", " ") for kind in plan.kinds))
    title = f"Smallest difference to {plan.baseline} found with 80 % power, points (δ = {100 * plan.delta:g})"
    return StudyTables(plan.study, (Table(title, columns, tuple(rows)),), _notes(plan))


def _counted(plan: Plan) -> str:
    """Return what the plan counts: seeds, orders of examples, or both names if comparators differ."""
    return " or ".join(dict.fromkeys(row.counted for row in plan.rows))


def _cell(cell: PlannedCell) -> Cell:
    if not cell.smallest <= 1:
        return Cell(NOTHING)
    high = f"{100 * cell.high:.1f}" if cell.high <= 1 else NOTHING
    numbers = Quantity(100 * cell.smallest, 100 * cell.low, 100 * cell.high, RANGE, "points")
    return Cell(f"{100 * cell.smallest:.1f}", f"{100 * cell.low:.1f} to {high}", numbers)


def _notes(plan: Plan) -> tuple[str, ...]:
    counted = _counted(plan)
    notes = [
        f"Corrected at {100 * ALPHA:g} % over all {plan.num_cells} cells (Holm); the {plan.num_headlines} of the headline are a family "
        f"of their own. With fewer than {MIN_SEEDS} {counted} nothing can be told.",
        f"The variances over {counted} and images are those of these runs, and are themselves uncertain. Below each number: the "
        f"range that holds the difference in {100 * RANGE:g} % of the cases in which other variances gave these runs (bridgelab calibrate "
        "tests it).",
    ]
    if any(not cell.high <= 1 for row in plan.rows for cell in row.cells.values()):
        notes.append("None: accuracies differ by at most 100 points, and not even that would be found.")
    return tuple(notes)


def plan_records(plan: Plan) -> list[dict[str, Any]]:
    """Return one record per cell for `bridgelab plan --json`, in shares; None where no difference would be found."""

    def possible(share: float) -> float | None:
        return share if math.isfinite(share) and share <= 1 else None

    return [
        {
            "comparator": row.comparator,
            "seeds": row.seeds,
            "counted": row.counted,
            "images": row.images,
            "kind": kind,
        }
        | {name: possible(getattr(cell, name)) for name in ("smallest", "low", "high")}
        for row in plan.rows
        for kind, cell in row.cells.items()
    ]
