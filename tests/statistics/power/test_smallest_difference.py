"""Promised power against a closed form and draws of the statistic."""

import numpy as np
import pytest
from scipy import stats

from bridgelab.statistics.calibration.promised_power import typical_contrast
from bridgelab.statistics.calibration.simulation import CELLS, Scenario
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.power.smallest_difference import smallest_difference, smallest_difference_range
from bridgelab.statistics.power.variances import at_size


def test_with_many_seeds_and_images_it_is_the_normal_one():
    result = Contrast(np.array(0.0), np.array([0.0]), np.array([0.0]), np.array(1e-4), (10_000,), 10**6)
    both = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert smallest_difference(result, 0.02, 1) == pytest.approx(0.02 + 0.01 * both, rel=1e-3)


def test_more_cells_ask_for_more():
    result = Contrast(np.array(0.0), np.full(2, 1e-4), np.zeros(2), np.array(1e-4), (3, 3), 300)
    assert smallest_difference(result, 0.02, 10) > smallest_difference(result, 0.02, 1) > 0.02


def test_one_seed_promises_nothing():
    assert np.isnan(
        smallest_difference(
            Contrast(np.array(0.0), np.full(2, np.nan), np.zeros(2), np.array(1e-4), (1, 3), 300), 0.02, 1
        )
    )


def test_with_one_bridge_of_few_seeds_it_is_what_draws_of_the_statistic_find():
    # Independent: values and variances are drawn one by one, with Satterthwaite's degrees of freedom by his formula.
    runs, images, own, of_images = 4, 200, 4e-4, 1e-4
    result = Contrast(np.array(0.0), np.array([own]), np.zeros(1), np.array(of_images), (runs,), images)
    least = smallest_difference(result, 0.02, 3)
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(4000):
        seeds = rng.normal(0, np.sqrt(own * runs), runs)
        noise = rng.normal(0, np.sqrt(of_images * images), images)
        v = np.var(seeds, ddof=1) / runs
        w = np.var(noise, ddof=1) / images
        freedom = (v + w) ** 2 / (v**2 / (runs - 1) + w**2 / (images - 1))
        value = least + seeds.mean() + noise.mean()
        hits += (value - 0.02) / np.sqrt(v + w) > stats.t.ppf(1 - 0.05 / 2 / 3, freedom)
    assert hits / 4000 == pytest.approx(0.8, abs=0.02)  # three standard deviations of the draws


def test_more_seeds_and_more_images_promise_smaller_differences():
    pilot = typical_contrast(Scenario("", images=50), np.random.default_rng(0), studies=50)
    few, seeds, images = (
        smallest_difference(at_size(pilot, *more), 0.02, CELLS) for more in ((3, 1), (10, 1), (3, 4))
    )
    assert seeds < few
    assert images < few


def test_pilots_have_the_true_difference_in_their_range_as_often_as_it_says():
    """Draw 60 pilots of three seeds from known variances; 80 % nominal, within three standard deviations."""
    true = Contrast(np.array(0.0), np.array([3e-4, 1e-4]), np.zeros(2), np.array(2e-4), (3, 3), 300)
    least = float(smallest_difference(at_size(true, 5, 1), 0.02, CELLS))
    rng, inside = np.random.default_rng(2), 0
    for _ in range(60):
        pilot = Contrast(
            true.value,
            true.seed_variance * rng.chisquare(2, 2) / 2,
            true.intersection_variance,
            true.image_variance * rng.chisquare(299) / 299,
            (3, 3),
            300,
        )
        low, high = smallest_difference_range(pilot, 0.02, CELLS, seeds=5)
        inside += low <= least <= high
    assert inside / 60 == pytest.approx(0.8, abs=0.155)
