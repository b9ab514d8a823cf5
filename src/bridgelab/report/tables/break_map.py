"""A break map as tables."""

from bridgelab.report.table import Cell, Table
from bridgelab.report.tables.verdict import finding_cell
from bridgelab.statistics.break_map import BreakMap


def map_tables(found: BreakMap) -> list[Table]:
    """One table a comparator: a row a level, a column a kind."""
    grids = []
    for comparator in found.comparators:
        rows = []
        for level in found.levels:
            why = found.empty.get((comparator, level))
            of = [found.cells.get((comparator, level, kind)) for kind in found.kinds]
            if why or any(of):
                cells = [Cell("–", why) if why else finding_cell(one) for one in of]
                rows.append(("map", (Cell(level), *cells)))
        title = (
            f"Break map: {found.baseline} − {comparator}, points; intervals adjusted over all {len(found.cells)} cells of the map "
            "(Holm), and at 90 %"
        )
        grids.append(Table(title, ("level", *(kind.replace("_", " ") for kind in found.kinds)), tuple(rows)))
    return grids
