"""What the names of runs tell."""

import pytest

from bridgelab.runs.run_name import overrides, row_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bridge=mlp,seed=1", {"bridge": "mlp", "seed": "1"}),
        ("bridge=mlp,tune.lrs=[0.1,0.2],seed=1", {"bridge": "mlp", "tune.lrs": "[0.1,0.2]", "seed": "1"}),
        ("+bridge.width=4", {"bridge.width": "4"}),
        ("defaults", {}),
    ],
)
def test_a_name_tells_its_choices(name, found):
    assert overrides(name) == found


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("bridge=linear,budget.tokens=4,seed=0", "linear, budget.tokens=4"),
        ("bridge=linear,data_seed=1,+train.lr=0.1,seed=0", "linear, train.lr=0.1"),
        ("bridge=mlp,bridge._target_=linear,seed=0", "linear"),
        ("a", "linear"),
    ],
)
def test_a_name_tells_its_row(name, row):
    assert row_of(name, "linear") == row
