"""The simulation's own truth, and a short calibration; the long one is `make calibrate`."""

import numpy as np
import pytest

from bridgelab.analysis import calibrate
from bridgelab.analysis.calibrate import rates
from bridgelab.analysis.contrast import contrast, part
from bridgelab.analysis.simulation import World, contrasts, simulate


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_simulated_studies_have_the_truth_that_they_say(difference):
    world = World("", images=50, seed_sd=0.03, mean=0.7)
    shares = simulate(world, np.random.default_rng(0), studies=400, seeds=5, difference=difference)
    means = shares.mean(axis=(0, 1, 3, 4))
    np.testing.assert_allclose(means, [0.7 + difference / 2, 0.7 - difference / 2], atol=0.004)
    by_run = shares.mean(axis=(1, 4))  # over cells and images: what is left is the seed, and a little noise
    assert by_run.std(axis=2, ddof=1).mean() == pytest.approx(0.03, abs=0.008)


def test_answers_to_one_image_go_together():
    shares = simulate(
        World("", asked=2, seed_sd=0), np.random.default_rng(0), studies=20, seeds=3, difference=0
    )
    of_two = shares.var()  # independent answers would give p (1 − p) / 2
    assert of_two > 1.2 * 0.8 * 0.2 / 2


def test_simulated_studies_are_judged_as_recorded_ones_are():
    shares = simulate(World("", images=30), np.random.default_rng(0), studies=1, seeds=3, difference=0.05)
    found, (first, second) = contrasts(shares), shares[0, 0]
    image, cell = np.arange(30), np.ones(30, dtype=bool)
    expected = contrast(*(part(x, image, [(1.0, cell)], [0] * 3) for x in (first, second)))
    assert found.value[0, 0] == pytest.approx(expected.value)
    assert found.variance[0, 0] == pytest.approx(expected.variance)
    assert found.freedom[0, 0] == pytest.approx(expected.freedom)


# 400 studies: a rate of 5 % has a standard deviation of 1.1 points; of five cells each, a coverage of 95 % about as much.
@pytest.mark.parametrize("difference", [0.0, -0.02])
def test_the_verdict_errs_as_seldom_as_it_says(difference):
    found = rates(World("", seed_sd=0.02), seeds=3, difference=difference, studies=400)["in use"]
    assert found.differs <= 0.083
    assert found.covers >= 0.917
    if difference:
        assert found.holds <= 0.083


def test_what_was_not_chosen_errs_where_images_are_few():
    found = rates(World("", images=40), seeds=5, difference=-0.02, studies=300)
    assert found["t over seeds"].covers < found["in use"].covers
    assert found["added whole"].half_width > found["in use"].half_width


def test_it_prints_a_table_a_method(monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "STUDIES", 20)
    monkeypatch.setattr(calibrate, "SEEDS", (3,))
    monkeypatch.setattr(calibrate, "WORLDS", (World("few", images=20),))
    calibrate.calibrate()
    printed = capsys.readouterr().out
    assert all(f"{name}: 20 studies" in printed for name in calibrate.METHODS)
    assert printed.count("few") == 9 + 1  # and a row of what a plan promises
    assert "promises to find in 80 % of studies" in printed
