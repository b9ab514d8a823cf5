"""Outcomes of cells whose truth is planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.outcome import (
    BREAKS,
    CANNOT_TELL,
    HOLDS,
    LEADS,
    decide_outcomes,
    judge,
    outlying_runs,
)


def known(value, error, runs=(3, 3), number=300):
    """Return a difference whose variance is nine tenths of images and one tenth of seeds."""
    seeds = np.full(len(runs), 0.1 * error**2 / len(runs))
    return Contrast(np.array(value), seeds, 0 * seeds, np.array(0.9 * error**2), runs, number)


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [(-0.10, 0.01, BREAKS), (0.10, 0.01, LEADS), (0.0, 0.005, HOLDS), (0.0, 0.02, CANNOT_TELL),
     (-0.03, 0.01, CANNOT_TELL), (-0.10, 0.06, CANNOT_TELL)],
)  # fmt: skip
def test_a_cell_is_called_what_its_interval_says(value, error, expected):
    assert judge({"cell": known(value, error)}, delta=0.02)["cell"].outcome == expected


def test_what_a_cell_says_depends_on_how_many_were_looked_at():
    cell = known(-0.045, 0.01)
    assert judge({"cell": cell})["cell"].outcome == BREAKS
    beside = {name: known(0.0, 0.02) for name in range(9)}
    assert judge({"cell": cell} | beside)["cell"].outcome == CANNOT_TELL


@pytest.mark.parametrize("runs", [(1, 3), (2, 3), (2,)])
def test_with_fewer_than_three_seeds_nothing_can_be_told(runs):
    result = judge({"cell": known(-0.5, 0.001, runs)})["cell"]
    assert result.outcome == CANNOT_TELL
    assert result.reason == f"{min(runs)} of at least 3 seeds"
    assert np.isnan(result.p)


def test_a_cell_that_is_not_judged_counts_as_one_whose_p_is_1():
    """By hand: Holm multiplies the smallest p by ten for ten tests, however many of the others are judged."""
    cells = {"cell": known(-0.045, 0.01)} | {name: known(-0.5, 0.01, (2, 3)) for name in range(9)}
    result = judge(cells)
    raw = 2 * float(cells["cell"].p_below(-0.02))
    assert raw < 0.05 < 10 * raw
    assert result["cell"].p == pytest.approx(10 * raw)
    assert result["cell"].outcome == CANNOT_TELL
    assert {result[name].reason for name in range(9)} == {"2 of at least 3 seeds"}
    assert list(result) == list(cells)
    few = judge({"cell": cells["cell"], "few": known(-0.5, 0.01, (2, 3)), "one": known(0, 0.01, number=1)})
    assert few["cell"].p == pytest.approx(3 * raw)
    assert few["one"].reason == "its questions are on 1 image"


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.05)), min_size=1, max_size=8),
    st.integers(0, 3),
)
def test_the_outcome_is_seen_in_the_intervals(values, withheld):
    cells = {k: known(*value) for k, value in enumerate(values)} | {
        -k: known(-0.5, 0.01, (1, 3)) for k in range(1, withheld + 1)
    }
    result = judge(cells)
    for key in range(len(values)):
        (low, high), (below, above), outcome = (
            result[key].holm_interval,
            result[key].equivalence_interval,
            result[key].outcome,
        )
        assert (high < -0.02) == (outcome == BREAKS)
        assert (low > 0.02) == (outcome == LEADS)
        assert (below > -0.02 and above < 0.02) == (outcome == HOLDS)
        assert low <= below <= above <= high
        assert result[key].decisive_interval == ((below, above) if outcome == HOLDS else (low, high))


def test_no_cell_gives_no_finding():
    assert judge({}) == {}


@pytest.mark.parametrize("delta", [0, -0.1, 1, float("nan")])
def test_a_difference_that_matters_lies_between_0_and_1(delta):
    with pytest.raises(ValueError, match=r"verdict.delta=.*: must lie between 0 and 1"):
        judge({}, delta=delta)


def test_each_row_is_a_family_of_its_own():
    p = np.array([[0.02, 0.5], [0.03, 0.5]])
    outcome, corrected = decide_outcomes(p, np.ones((2, 2)), np.ones((2, 2)))
    np.testing.assert_allclose(corrected, [[0.08, 1], [0.12, 1]])
    assert (outcome == CANNOT_TELL).all()


def test_a_seed_stands_apart_from_the_median():
    values = np.array([[0.8, 0.55, 0.79], [0.8, 0.71, 0.75], [0.5, 0.51, 0.9]])
    expected = [[False, True, False], [False, False, False], [False, False, True]]
    np.testing.assert_array_equal(outlying_runs(values, 1000), expected)
    assert not outlying_runs(values[0], 40).any()  # 25 points on 40 questions is chance
    assert not outlying_runs(np.array([0.2, 0.9]), 1000).any()
