"""The one rule of convergence."""

import math

import pytest

from bridgelab.train.flat import is_flat, late_gain


def test_late_gain_is_measured_over_the_last_fifth():
    assert late_gain([[0, 0.0], [800, 0.60], [900, 0.50], [1000, 0.63]]) == pytest.approx(0.03)
    assert late_gain([[600, 0.50], [900, 0.6], [1000, 0.70]]) == pytest.approx(0.20)  # never over less
    assert late_gain([[1000, 0.63], [0, 0.0], [800, 0.60]]) == pytest.approx(0.03)  # order does not matter


@pytest.mark.parametrize("curve", [[], [[1000, 0.5]], [[900, 0.5], [1000, 0.5]]])
def test_a_curve_without_a_point_before_the_last_fifth_says_nothing(curve):
    assert math.isnan(late_gain(curve))
    assert not is_flat(late_gain(curve))


@pytest.mark.parametrize(("end", "flat"), [(0.6099, True), (0.61, False), (0.65, False), (0.55, True)])
def test_flat_is_less_than_one_point(end, flat):
    assert is_flat(late_gain([[0, 0.2], [800, 0.6], [1000, end]])) is flat


@pytest.mark.parametrize(
    ("curve", "flat"),
    [
        ([], False),
        ([(100, 0.9)], False),
        ([(80, 0.700), (90, 0.705), (100, 0.709)], True),
        ([(80, 0.700), (90, 0.709), (100, 0.710001)], False),
        ([(50, 0.5), (100, 0.505)], True),
    ],
)
def test_a_record_is_flat_by_the_same_rule(curve, flat):
    assert is_flat(late_gain(curve)) is flat
