import numpy as np
import pandas as pd
import pytest

from bridgelab.analysis.breakpoint import breakpoints
from bridgelab.analysis.breakpoint_table import breakpoint_grid, breakpoint_sentences
from bridgelab.analysis.records import read_study

BRIDGES = {"linear": {"exist": 0.5}, "mlp": {"exist": 0.5}, "perceiver": {"exist": 0.5}}


def planted(path, falls, seed=0, seed_effect=0.0):
    """Accuracy .9 at 3 objects, which falls by so much an object for each bridge."""
    rng = np.random.default_rng(seed)
    for file in sorted(path.glob("*/predictions.parquet")):
        bridge = file.parent.name.split(",")[0].removeprefix("bridge=")
        table = pd.read_parquet(file)
        objects = np.array([int(name.split(".")[0]) % 8 + 3 for name in table["image"]])
        own = rng.normal(0, seed_effect)
        table["tag_objects"] = objects
        table["score"] = (rng.random(len(table)) < 0.9 + own - falls[bridge] * (objects - 3)).astype(float)
        table.to_parquet(file)


def test_a_planted_break_is_found_where_it_lies(simulated):
    path = simulated.write(bridges=BRIDGES, images=3000)
    planted(path, {"linear": 0.05, "mlp": 0.05, "perceiver": 0.02})
    found = {one.comparator: one for one in breakpoints(read_study(path)) if one.tag == "objects"}
    assert set(found) == {"mlp", "perceiver"}
    broken = found["perceiver"]
    low, high = broken.slope.interval()
    assert low < -0.03 < high < 0
    at, begins, sure = broken.passes
    assert begins <= 3 + 0.02 / 0.03 <= sure  # −2 points at 3.67 objects
    assert begins <= at <= sure
    assert broken.below
    assert found["mlp"].passes is None
    assert found["mlp"].p > 0.05
    told = breakpoint_sentences(list(found.values()), "linear", 0.02)
    assert told[0] == "With difficulty, linear against mlp: no change with objects is told from 0."
    assert "linear loses" in told[1]
    assert "points with each step of objects" in told[1]
    assert "passes −2 points at" in told[1]
    grid = breakpoint_grid(list(found.values()), "linear")
    assert grid.heads == ("difference", "a step of objects")
    assert "passes δ at" in grid.rows[1][1][1].interval


def test_intervals_hold_the_truth_over_many_studies(simulated):
    """Slope and passing of 40 studies with seeds that differ: 95 % nominal; 33 of 40 would be 4 in 10,000 at 95 %."""
    path = simulated.write(bridges={name: BRIDGES[name] for name in ("linear", "perceiver")}, images=400)
    slopes = passings = known = 0
    for seed in range(40):
        planted(path, {"linear": 0.06, "perceiver": 0.02}, seed, seed_effect=0.01)
        (found,) = [one for one in breakpoints(read_study(path)) if one.tag == "objects"]
        low, high = found.slope.interval()
        slopes += low < -0.04 < high
        if found.passes:
            known += 1
            _, begins, sure = found.passes
            passings += begins <= 3.5 + 0.07 and not sure < 3.5 - 0.07  # of places 0.07 apart
    assert slopes > 33
    assert known > 35
    assert passings > known - 7


def test_what_has_not_converged_claims_nothing(simulated):
    path = simulated.write(bridges=BRIDGES, images=800, flat=False)
    planted(path, {"linear": 0.08, "mlp": 0.0, "perceiver": 0.0})
    found = breakpoints(read_study(path))
    assert all(one.passes is None and "not converged" in one.why for one in found)
    assert breakpoint_sentences(found, "linear", 0.02) == []


@pytest.mark.parametrize("bridges", [{"mlp": {"exist": 0.5}}, {"linear": {"exist": 0.5}}])
def test_without_a_pair_there_is_none(simulated, bridges):
    assert breakpoints(read_study(simulated.write(bridges=bridges, images=20))) == []
