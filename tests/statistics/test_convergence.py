import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bridgelab.statistics.convergence import convergence_from_records


def record(**values):
    """Return a record's budgets: s400=.5 is an accuracy of .5 at the end of a schedule of 400 steps."""
    return {"budgets": [{"steps": int(name[1:]), "value": value} for name, value in values.items()]}


@given(st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=6))
def test_the_bound_is_that_of_a_one_sided_t_test(gains):
    """Independent: scipy's one-sided test of the mean gain has p = .05 at the bound."""
    result = convergence_from_records([record(s500=0.5, s1000=0.5 + gain) for gain in gains], 0.02)
    seen = result.gains
    np.testing.assert_allclose(seen, gains, atol=1e-12)
    if seen.std() > 1e-6:
        assert stats.ttest_1samp(seen, result.upper_bound, alternative="less").pvalue == pytest.approx(0.05)
    else:
        assert result.upper_bound == pytest.approx(seen.mean(), abs=1e-5)
    assert result.is_shown == (result.upper_bound < 0.02)


def test_seeds_are_paired_with_themselves():
    """Seeds differ by ten points, but each gains only half a point."""
    result = convergence_from_records(
        [record(s500=value, s1000=value + 0.005) for value in (0.6, 0.7, 0.8)], 0.02
    )
    assert result.gain == pytest.approx(0.005)
    assert result.is_shown


def test_three_seeds_may_not_show_what_five_do():
    gains = [0.0, 0.01, 0.02]
    assert not convergence_from_records([record(s5=0.5, s10=0.5 + gain) for gain in gains], 0.02).is_shown
    assert convergence_from_records(
        [record(s5=0.5, s10=0.5 + gain) for gain in [*gains, 0.005, 0.01]], 0.02
    ).is_shown


@pytest.mark.parametrize(
    ("budgets", "half"),
    [({"s100": 0.1, "s400": 0.4}, 0.1), ({"s250": 0.2, "s500": 0.3, "s1001": 0.4}, 0.3), ({"s300": 0.3, "s400": 0.4}, None), ({"s400": 0.4}, None), ({}, None)],
)  # fmt: skip
def test_the_gain_is_over_a_doubling_at_the_least(budgets, half):
    result = convergence_from_records([record(**budgets)] * 3, 0.02)
    if half is None:
        assert math.isnan(result.gain)
        assert not result.is_shown
    else:
        assert result.gain == pytest.approx(0.4 - half)


def test_budgets_that_not_every_seed_has_are_left_out():
    result = convergence_from_records(
        [record(s250=0.1, s500=0.2, s1000=0.3), record(s500=0.2, s1000=0.3)], 0.02
    )
    assert result.steps == (500, 1000)
    assert result.accuracy.shape == (2, 2)


@pytest.mark.parametrize(("gain_of_start", "shown"), [(0.05, False), (0.001, True)])
def test_a_short_run_from_a_warm_start_has_converged_only_if_that_start_had(gain_of_start, shown):
    """The run itself gains nothing, whatever its warm start still had to learn."""
    starts = record(s12000=0.7, s24000=0.7 + gain_of_start)["budgets"]
    result = convergence_from_records([{**record(s300=0.8, s600=0.8), "init_budgets": starts}] * 3, 0.02)
    assert result.upper_bound == pytest.approx(0)
    assert result.start.gain == pytest.approx(gain_of_start)
    assert result.is_shown == shown
