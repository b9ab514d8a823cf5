import math

import pytest

from bridgelab.report.tables.power_plan import plan_records, plan_tables
from bridgelab.runs.study import read_study
from bridgelab.statistics.power.plan import Plan, PlannedCell, PlanRow, plan

TWO = {
    "linear": {"exist": 0.7, "count": 0.5},
    "mlp": {"exist": 0.7, "count": 0.5},
    "blind": {"exist": 0.5, "count": 0.3},
}


def test_more_seeds_and_more_images_find_smaller_differences(simulated):
    (table,) = plan_tables(plan(read_study(simulated.write(bridges=TWO)))).tables
    column = table.columns.index("count")
    numbers = [cells[column].number for _, cells in table.rows]
    smallest = [number.value for number in numbers]
    seeds = [cells[1].text for _, cells in table.rows]
    assert seeds == ["3", "5", "6", "10"] * 2  # the study has 3
    few = plan(read_study(simulated.write("two", bridges=TWO, seeds=(0, 1))))
    assert [row.seeds for row in few.rows] == [3, 4, 5, 10] * 2
    assert smallest[:4] == sorted(smallest[:4], reverse=True)
    assert all(few >= many for few, many in zip(smallest[:4], smallest[4:], strict=True))
    assert min(smallest) > 2  # δ
    assert all(number.low < number.high for number in numbers)


def test_a_difference_that_cannot_be_is_not_printed():
    cells = {
        "exist": PlannedCell(1.937, 0.6, 4.0),
        "count": PlannedCell(0.4, 0.1, 1.2),
        "query": PlannedCell(math.nan, math.nan, math.nan),
        "all": PlannedCell(0.031, 0.022, 0.05),
    }
    planned = Plan("s", "linear", 0.02, tuple(cells), (PlanRow("mlp", 3, "seeds", 100, cells),), 4, 1)
    printed = plan_tables(planned)
    ((_, (*_, exist, count, query, every)),) = printed.tables[0].rows
    assert [exist.text, query.text] == ["none", "none"]
    assert (count.text, count.interval) == ("40.0", "10.0 to none")
    assert (every.text, every.interval) == ("3.1", "2.2 to 5.0")
    assert "not even that would be found" in printed.notes[-1]
    assert [record["smallest"] for record in plan_records(planned)] == [None, 0.4, None, 0.031]


def test_a_plan_needs_two_bridges_and_two_seeds(simulated):
    one = {name: TWO[name] for name in ("linear", "blind")}
    with pytest.raises(ValueError, match="has runs of linear: a plan needs linear and another bridge"):
        plan(read_study(simulated.write("one", bridges=one)))
    with pytest.raises(ValueError, match="linear, mlp in single has 1 seed"):
        plan(read_study(simulated.write("single", bridges=TWO, seeds=(0,))))
