"""Outcomes of cells whose truth is planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.verdict import (
    BREAKS,
    CANNOT_TELL,
    HOLDS,
    LEADS,
    holm,
    judge,
    outcome,
    p_values,
    planned,
    stands_apart,
    would_settle,
)


def known(value, error, runs=(3, 3), number=300):
    """A difference whose error is of images and, a tenth of it, of seeds."""
    seeds = np.full(len(runs), 0.1 * error**2 / len(runs))
    return Contrast(np.array(value), seeds, 0 * seeds, np.array(0.9 * error**2), runs, number)


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [(-0.10, 0.01, BREAKS), (0.10, 0.01, LEADS), (0.0, 0.005, HOLDS), (0.0, 0.02, CANNOT_TELL),
     (-0.03, 0.01, CANNOT_TELL), (-0.10, 0.06, CANNOT_TELL)],
)  # fmt: skip
def test_a_cell_is_called_what_its_interval_says(value, error, said):
    assert judge({"cell": known(value, error)}, delta=0.02)["cell"].outcome == said


def test_what_a_cell_says_depends_on_how_many_were_looked_at():
    cell = known(-0.045, 0.01)
    assert judge({"cell": cell})["cell"].outcome == BREAKS
    beside = {name: known(0.0, 0.02) for name in range(9)}
    assert judge({"cell": cell} | beside)["cell"].outcome == CANNOT_TELL


@pytest.mark.parametrize("runs", [(1, 3), (2, 3), (2,)])
def test_with_fewer_than_three_seeds_nothing_can_be_told(runs):
    found = judge({"cell": known(-0.5, 0.001, runs)})["cell"]
    assert found.outcome == CANNOT_TELL
    assert found.why == f"{min(runs)} of at least 3 seeds"
    assert np.isnan(found.p)


def test_a_cell_that_is_not_judged_counts_as_one_whose_p_is_1():
    """By hand: of ten tests the smallest p is taken ten times, however many of the others are judged."""
    cells = {"cell": known(-0.045, 0.01)} | {name: known(-0.5, 0.01, (2, 3)) for name in range(9)}
    found = judge(cells)
    raw = 2 * float(cells["cell"].p_below(-0.02))
    assert raw < 0.05 < 10 * raw
    assert found["cell"].p == pytest.approx(10 * raw)
    assert found["cell"].outcome == CANNOT_TELL
    assert {found[name].why for name in range(9)} == {"2 of at least 3 seeds"}
    assert list(found) == list(cells)
    few = judge({"cell": cells["cell"], "few": known(-0.5, 0.01, (2, 3)), "one": known(0, 0.01, number=1)})
    assert few["cell"].p == pytest.approx(3 * raw)
    assert few["one"].why == "its questions are on 1 image"


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.05)), min_size=1, max_size=8),
    st.integers(0, 3),
)
def test_the_outcome_is_seen_in_the_intervals(values, withheld):
    cells = {k: known(*value) for k, value in enumerate(values)} | {
        -k: known(-0.5, 0.01, (1, 3)) for k in range(1, withheld + 1)
    }
    found = judge(cells)
    for key in range(len(values)):
        (low, high), (below, above), said = found[key].adjusted, found[key].plain, found[key].outcome
        assert (high < -0.02) == (said == BREAKS)
        assert (low > 0.02) == (said == LEADS)
        assert (below > -0.02 and above < 0.02) == (said == HOLDS)
        assert low <= below <= above <= high
        assert found[key].decisive == ((below, above) if said == HOLDS else (low, high))


def test_no_cell_gives_no_finding():
    assert judge({}) == {}


@pytest.mark.parametrize("delta", [0, -0.1, 1, float("nan")])
def test_a_difference_that_matters_lies_between_0_and_1(delta):
    with pytest.raises(ValueError, match=r"verdict.delta=.*: must lie between 0 and 1"):
        judge({}, delta=delta)


def test_holm_as_in_a_worked_example():
    # Three tests, by hand: 3 × .01, then 2 × .02, then 1 × .03 raised to what came before.
    np.testing.assert_allclose(holm(np.array([0.02, 0.01, 0.03])), [0.04, 0.03, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(values):
    p = np.array(values)
    rejected, order = np.zeros(len(p), dtype=bool), np.argsort(p)
    for step, place in enumerate(order):
        if not p[place] * (len(p) - step) < 0.05:
            break
        rejected[place] = True
    np.testing.assert_array_equal(holm(p) < 0.05, rejected)


def test_each_row_is_a_family_of_its_own():
    p = np.array([[0.02, 0.5], [0.03, 0.5]])
    said, corrected = outcome(p, np.ones((2, 2)), np.ones((2, 2)))
    np.testing.assert_allclose(corrected, [[0.08, 1], [0.12, 1]])
    assert (said == CANNOT_TELL).all()


def test_as_many_seeds_and_images_as_there_were_change_nothing():
    found = Contrast(
        np.array(-0.03), np.array([3e-4, 2e-4]), np.array([1e-4, 1e-4]), np.array(4e-4), (3, 3), 300
    )
    again = planned(found, 3, 1)
    assert again.variance == pytest.approx(found.variance)
    assert again.freedom == pytest.approx(found.freedom)
    assert planned(found, 6, 2).variance == pytest.approx(
        (2e-4 + 1e-4) / 2 + 2e-4 / 2 + 2e-4 / 4  # seeds, images, and what both hold
    )


@pytest.mark.parametrize("value", [-0.06, 0.0])
def test_the_seeds_asked_for_are_the_fewest_that_settle_a_cell(value):
    error = 0.03 if value else 0.011
    found = Contrast(np.array(value), np.full(2, error**2 / 2), np.zeros(2), np.array(1e-5), (3, 3), 1000)
    assert judge({"cell": found})["cell"].outcome == CANNOT_TELL
    told = would_settle(found, 0.02, 1)
    number = int(told.removesuffix(" seeds would settle it"))
    # Drawn one by one, by the definition: values, and variances of seeds and of images, of as many studies.
    rng = np.random.default_rng(1)

    def settled(seeds):
        plan, size = planned(found, seeds, 1), 4000
        study = Contrast(
            rng.normal(value, plan.error, size),
            plan.seeds * rng.chisquare(seeds - 1, (size, 2)) / (seeds - 1),
            np.zeros((size, 2)),
            plan.images * rng.chisquare(999, size) / 999,
            plan.runs,
            plan.number,
        )
        return np.mean(outcome(*(p[:, None] for p in p_values(study, 0.02)))[0] != CANNOT_TELL)

    assert settled(number) > 0.78
    assert settled(number - 1) < 0.82


def test_images_are_asked_for_where_seeds_would_not_do():
    assert "times the images would settle it" in would_settle(known(0.0, 0.03), 0.02, 1)
    assert "too near to a bound" in would_settle(known(-0.02, 0.01), 0.02, 1)


def test_a_seed_stands_apart_from_the_median():
    values = np.array([[0.8, 0.55, 0.79], [0.8, 0.71, 0.75], [0.5, 0.51, 0.9]])
    expected = [[False, True, False], [False, False, False], [False, False, True]]
    np.testing.assert_array_equal(stands_apart(values, 1000), expected)
    assert not stands_apart(values[0], 40).any()  # 25 points on 40 questions is chance
    assert not stands_apart(np.array([0.2, 0.9]), 1000).any()
