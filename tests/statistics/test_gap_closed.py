"""Ratios of estimates against closed forms."""

import math

import numpy as np
import pytest
from known_estimate import known, of
from scipy import stats

from bridgelab.statistics.estimate import Estimate, Runs
from bridgelab.statistics.gap_closed import gap_closed, ratio


def test_gap_closed_is_not_given_where_there_is_none():
    assert gap_closed(known(0.5, 0.01), known(0.4, 0.01), known(0.499, 0.01)) is None
    assert gap_closed(known(0.5, 0.01), known(0.4, 0.01), Estimate(math.nan, {})) is None
    assert gap_closed(known(0.5, 0.1), known(0.4, 0.1), known(0.6, 0.1)) is None  # not significant
    assert gap_closed(known(0.5, 0.01), known(0.4, 0.01), known(0.6, 0.01)).value == pytest.approx(0.5)


@pytest.mark.parametrize(("bridge", "closed"), [(0.9, 1.25), (0.3, -0.25)])
def test_gap_closed_is_not_clipped(bridge, closed):
    result = gap_closed(known(bridge, 0.01), known(0.4, 0.01), known(0.8, 0.01))
    assert result.value == pytest.approx(closed)
    low, high = result.interval
    assert low < closed < high


def test_a_shares_interval_is_fiellers_by_his_formula():
    """Independent: the roots of Fieller's quadratic for two independent numbers, with the t of the ratio's degrees of freedom."""
    a, b = np.random.default_rng(4).normal(size=(2, 400)) * 0.03 / 20
    a, b = a - a.mean(), b - b.mean() - (a @ b) / (a @ a) * a
    part, whole = of(0.3, a, Runs((0,))), of(0.5, b, Runs((0,)))
    t, va, vb = stats.t.ppf(0.975, 399), float(part.contrast.variance), float(whole.contrast.variance)
    roots = np.roots([0.5**2 - t**2 * vb, -2 * 0.3 * 0.5, 0.3**2 - t**2 * va])
    assert ratio(part, whole).interval == pytest.approx(tuple(sorted(roots)), rel=1e-3)


def test_both_parts_of_the_gap_are_of_the_same_images():
    # A bridge that answers exactly as words do closes all of the gap, however uncertain both are.
    words, blind = known(0.9, 0.02), known(0.3, 0.02)
    assert gap_closed(words, blind, words).interval == pytest.approx((1, 1), abs=1e-6)
