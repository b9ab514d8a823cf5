from io import StringIO

import pytest
from rich.console import Console

from bridgelab.report.tables.power_plan import plan_table
from bridgelab.runs.study import read_study
from bridgelab.statistics.power.plan import plan

TWO = {
    "linear": {"exist": 0.7, "count": 0.5},
    "mlp": {"exist": 0.7, "count": 0.5},
    "blind": {"exist": 0.5, "count": 0.3},
}


def numbers(study, column):
    out = StringIO()
    Console(file=out, width=140).print(plan_table(plan(read_study(study))))
    rows = [line.split("│") for line in out.getvalue().splitlines() if line.startswith("│")]
    return [float(row[column].split("(")[0]) for row in rows], [
        tuple(map(float, row[column].strip(" )").split("(")[1].split("–"))) for row in rows
    ]


def test_more_seeds_and_more_images_find_smaller_differences(simulated):
    result, ranges = numbers(simulated.write(bridges=TWO), 4)
    assert len(result) == 6
    assert result[:3] == sorted(result[:3], reverse=True)
    assert all(few >= many for few, many in zip(result[:3], result[3:], strict=True))
    assert min(result) > 2  # δ
    assert all(low < high for low, high in ranges)


def test_a_plan_needs_two_bridges_and_two_seeds(simulated):
    one = {name: TWO[name] for name in ("linear", "blind")}
    with pytest.raises(ValueError, match="has runs of linear: a plan needs linear and another bridge"):
        plan(read_study(simulated.write("one", bridges=one)))
    with pytest.raises(ValueError, match="linear, mlp in single has 1 seed"):
        plan(read_study(simulated.write("single", bridges=TWO, seeds=(0,))))
