"""The plan of a study as a table: the smallest difference that it finds, by seeds and images."""

from rich.table import Table

from bridgelab.statistics.power.plan import IMAGE_FACTORS, SEEDS, Plan, PlannedCell
from bridgelab.statistics.power.smallest_difference import RANGE
from bridgelab.statistics.verdict import MIN_SEEDS


def plan_table(plan: Plan) -> Table:
    """Return the table that `bridgelab plan` prints, in points."""
    table = Table(
        title=f"{plan.study}: the smallest difference to {plan.baseline} found with 80 % power, points (δ = {100 * plan.delta:g})"
    )
    table.add_column("bridge")
    for head in ("seeds", "images", *(kind.replace("_", " ") for kind in plan.kinds)):
        table.add_column(head, justify="right")
    rows_per_comparator = len(SEEDS) * len(IMAGE_FACTORS)
    for index, row in enumerate(plan.rows):
        is_first = index % rows_per_comparator == 0
        cells = [_cell(row.cells[kind]) for kind in plan.kinds]
        table.add_row(row.comparator if is_first else "", str(row.seeds), f"{row.images:,}", *cells)
        if (index + 1) % rows_per_comparator == 0:
            table.add_section()
    return table


def _cell(cell: PlannedCell) -> str:
    return f"{100 * cell.smallest:.1f} ({100 * cell.low:.1f}–{100 * cell.high:.1f})"


def plan_note(plan: Plan) -> str:
    """Return the note below the table."""
    return (
        f"Corrected over all {plan.num_cells} cells (Holm); the {plan.num_headlines} of the headline are a family of their own. With fewer "
        f"than {MIN_SEEDS} seeds nothing can be told. The variances over seeds and images are those of these runs, and are themselves "
        f"uncertain. In brackets: the range that holds the difference in {100 * RANGE:g} % of the cases in which other variances gave "
        "these runs (`bridgelab calibrate` tests it)."
    )
