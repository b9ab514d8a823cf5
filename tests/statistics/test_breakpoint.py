import shutil

import numpy as np
import pandas as pd
import pytest

from bridgelab.report.tables.breakpoint import breakpoint_sentences, breakpoint_table
from bridgelab.runs.study import read_study
from bridgelab.statistics.breakpoint import Breakpoint, Crossing, _crossings, breakpoints
from bridgelab.statistics.contrast import Contrast

BRIDGES = {"linear": {"exist": 0.5}, "mlp": {"exist": 0.5}, "perceiver": {"exist": 0.5}}


def planted(path, falls, seed=0, seed_effect=0.0):
    """Plant an accuracy of .9 at 3 objects that falls by `falls[bridge]` per object."""
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
    result = {one.comparator: one for one in breakpoints(read_study(path)) if one.tag == "objects"}
    assert set(result) == {"mlp", "perceiver"}
    broken = result["perceiver"]
    low, high = broken.slope.interval()
    assert low < -0.03 < high < 0
    (passed,) = broken.crossings
    assert passed.bound == -0.02
    assert passed.low <= 3 + 0.02 / 0.03 <= passed.high  # −2 points at 3.67 objects
    assert passed.low <= passed.at <= passed.high
    assert broken.baseline_worsens
    low, high = broken.slope.interval(broken.level)
    assert (high < 0) == (broken.p < 0.05)
    assert result["mlp"].crossings is None
    assert result["mlp"].p > 0.05
    text = breakpoint_sentences(list(result.values()), "linear", 0.02)
    assert text[0] == "With difficulty, linear against mlp: no change with objects is shown."
    assert "linear loses" in text[1]
    assert "points with each step of objects" in text[1]
    assert "passes −2 points at" in text[1]
    grid = breakpoint_table(list(result.values()), "linear")
    assert grid.columns == ("difference", "a step of objects")
    assert ", passes −2 points at" in grid.rows[1][1][1].interval


def test_intervals_hold_the_truth_over_many_studies(simulated):
    """In 40 studies, a nominal coverage of 95 % gives 33 or fewer with probability .0004."""
    path = simulated.write(bridges={name: BRIDGES[name] for name in ("linear", "perceiver")}, images=400)
    slopes = passings = known = 0
    for seed in range(40):
        planted(path, {"linear": 0.06, "perceiver": 0.02}, seed, seed_effect=0.01)
        (result,) = [one for one in breakpoints(read_study(path)) if one.tag == "objects"]
        low, high = result.slope.interval()
        slopes += low < -0.04 < high
        if result.crossings:
            known += 1
            passed = result.crossings[-1]
            passings += passed.low <= 3.5 + 0.07 and not passed.high < 3.5 - 0.07  # the grid's step is 0.07
    assert slopes > 33
    assert known > 35
    assert passings > known - 7


def test_a_slope_of_two_seeds_makes_no_other_test_easier(simulated):
    path = simulated.write(bridges=BRIDGES, images=800)
    planted(path, {"linear": 0.05, "mlp": 0.0, "perceiver": 0.035})
    shutil.rmtree(path / "bridge=mlp,seed=2")
    two_seeds, other = [one for one in breakpoints(read_study(path)) if one.tag == "objects"]
    assert two_seeds.slope.p_below(0) < other.slope.p_below(0)  # Holm would have rejected it first
    assert two_seeds.p == 1
    assert other.p == pytest.approx(2 * 2 * float(other.slope.p_below(0)))  # both sides, both slopes


def test_what_has_not_converged_is_told_at_this_budget(simulated):
    path = simulated.write(bridges=BRIDGES, images=800, converged=False)
    planted(path, {"linear": 0.08, "mlp": 0.0, "perceiver": 0.0})
    result = breakpoints(read_study(path))
    assert all(one.at_budget and not one.reason for one in result)
    assert "linear against mlp (at this budget): " in breakpoint_sentences(result, "linear", 0.02)[0]


@pytest.mark.parametrize("bridges", [{"mlp": {"exist": 0.5}}, {"linear": {"exist": 0.5}}])
def test_without_a_pair_there_is_none(simulated, bridges):
    assert breakpoints(read_study(simulated.write(bridges=bridges, images=20))) == []


INF = float("inf")


def line(first, last, error=0.01):
    """Return a straight line over levels 3 to 10, with one standard error everywhere; with many images t is 1.96."""
    return [
        Contrast(np.array(value), np.zeros(2), np.zeros(2), np.array(error**2), (3, 3), 10**6)
        for value in np.linspace(first, last, 101)
    ]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        # Falls by 2 points per level from +6 to −8: stops leading at 5, breaks at 7. The interval is ±1.96 points, so ±.98 levels.
        (0.06, -0.08, [(0.02, 5.0, 4.02, 5.98), (-0.02, 7.0, 6.02, 7.98)]),
        (-0.08, 0.06, [(-0.02, 6.0, 5.02, 6.98), (0.02, 8.0, 7.02, 8.98)]),  # rises: breaks first, leads at the end
        (0.0, -0.07, [(-0.02, 5.0, 3.04, 6.96)]),
        (-0.01, -0.08, [(-0.02, 4.0, -INF, 5.96)]),  # its lower end lies before the lowest level
        (0.0, -0.03, [(-0.02, 7.67, 3.1, INF)]),
        (0.0, -0.015, [(-0.02, INF, 3.2, INF)]),
        (-0.06, -0.13, [(-0.02, -INF, -INF, -INF)]),  # beyond the bound at all levels
    ],
)  # fmt: skip
def test_a_line_passes_both_bounds_and_open_ends_are_open(first, last, expected):
    result = _crossings(np.linspace(3, 10, 101), line(first, last), 0.02 if last > first else -0.02)
    text = [(one.bound, one.at, one.low, one.high) for one in result]
    assert [one[0] for one in text] == [one[0] for one in expected]
    for one, other in zip(text, expected, strict=True):
        np.testing.assert_allclose(one[1:], other[1:], atol=0.071)  # the grid's step is 0.07


@pytest.mark.parametrize(
    ("crossing", "text"),
    [
        (Crossing(-0.02, 5.2, 4.1, 6.3), "−2 points at 5.2 (4.1 to 6.3)"),
        (Crossing(0.02, 3.6, -INF, 4.3), "+2 points at 3.6 (before 3 to 4.3)"),
        (Crossing(-0.02, 9.5, 8.0, INF), "−2 points at 9.5 (8.0 to beyond 10)"),
        (Crossing(-0.02, INF, 8.0, INF), "−2 points beyond 10 (perhaps from 8.0 on)"),
        (Crossing(-0.02, -INF, -INF, 3.4), "−2 points before 3 (perhaps at up to 3.4)"),
        (Crossing(0.02, -INF, -INF, -INF), "+2 points before 3"),
        (Crossing(0.02, INF, INF, INF), "+2 points beyond 10"),
    ],
)
def test_where_a_line_passes_is_said_with_its_open_ends(crossing, text):
    one = Breakpoint("objects", "mlp", line(0, 1)[0], 0.01, 0.99, (3.0, 10.0), (crossing,), True, "", False)
    assert f", passes {text}" in breakpoint_table([one], "linear").rows[0][1][1].interval
    assert f"and passes {text}." in breakpoint_sentences([one], "linear", 0.02)[0]
