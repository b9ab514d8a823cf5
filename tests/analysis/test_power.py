"""The power promised, against the simulation and a closed form."""

import numpy as np
import pytest
from scipy import stats

from bridgelab.analysis.calibrate import CELLS, World, contrasts, simulate
from bridgelab.analysis.contrast import Contrast
from bridgelab.analysis.power import smallest
from bridgelab.analysis.verdict import BREAKS, outcome, p_values


def test_with_many_seeds_and_images_it_is_the_normal_one():
    found = Contrast(np.array(0.0), np.array([0.0]), np.array([0.0]), np.array(1e-4), (10_000,), 10**6)
    both = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert smallest(found, 0.02, 1) == pytest.approx(0.02 + 0.01 * both, rel=1e-3)


def test_more_cells_ask_for_more():
    found = Contrast(np.array(0.0), np.full(2, 1e-4), np.zeros(2), np.array(1e-4), (3, 3), 300)
    assert smallest(found, 0.02, 10) > smallest(found, 0.02, 1) > 0.02


def test_one_seed_promises_nothing():
    assert np.isnan(
        smallest(
            Contrast(np.array(0.0), np.full(2, np.nan), np.zeros(2), np.array(1e-4), (1, 3), 300), 0.02, 1
        )
    )


# 300 studies: 80 % has a standard deviation of 2.3 points, less for five cells each.
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_difference_promised_is_found_as_often_as_promised(seeds):
    world, rng = World("", seed_sd=0.02), np.random.default_rng(seeds)
    pilot = contrasts(simulate(world, rng, studies=300, seeds=seeds, difference=0.0))
    typical = Contrast(
        np.array(0.0),
        pilot.seeds.mean(axis=(0, 1)),
        pilot.both.mean(axis=(0, 1)),
        pilot.images.mean(),
        pilot.runs,
        pilot.number,
    )
    least = smallest(typical, 0.02, CELLS)
    shares = simulate(world, rng, studies=300, seeds=seeds, difference=-least)
    said, _ = outcome(*p_values(contrasts(shares), 0.02))
    assert (said == BREAKS).mean() >= 0.77 - 0.046
