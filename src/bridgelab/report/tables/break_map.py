"""A break map as tables."""

from bridgelab.report.table import NONE, Cell, Table
from bridgelab.report.tables.verdict import finding_cell
from bridgelab.statistics.break_map import BreakMap


def break_map_tables(cells: BreakMap) -> list[Table]:
    """Return one table per comparator, with one row per level and one column per kind of question."""
    tables = []
    for comparator in cells.comparators:
        rows = []
        for level in cells.levels:
            reason = cells.empty.get((comparator, level))
            findings = [cells.cells.get((comparator, level, kind)) for kind in cells.kinds]
            if reason:
                rows.append(("map", (Cell(level), *(Cell(NONE, reason) for _ in findings))))
            elif any(findings):
                rows.append(("map", (Cell(level), *map(finding_cell, findings))))
        title = (
            f"Break map: {cells.baseline} − {comparator}, points; intervals adjusted over all {cells.family} cells of the map "
            "(Holm), and at 90 %"
        )
        columns = ("level", *(kind.replace("_", " ") for kind in cells.kinds))
        tables.append(Table(title, columns, tuple(rows)))
    return tables
