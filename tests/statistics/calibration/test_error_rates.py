"""The simulation's own truth, and a short calibration; the long one is `make calibrate`."""

from functools import partial

import numpy as np
import pytest

from bridgelab.statistics.calibration import error_rates as calibrate
from bridgelab.statistics.calibration import promised_power as calibrate_power
from bridgelab.statistics.calibration.error_rates import rates
from bridgelab.statistics.calibration.simulation import World, contrasts, simulate
from bridgelab.statistics.contrast import contrast, part


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


@pytest.mark.parametrize(
    "world",
    [
        World("", seed_sd=0.03, heavy=True),
        World("", images=8, asked=1),
        World("", images=50, asked=12),
        World("", collapse=0.25),
    ],
    ids=["heavy tails", "few images", "groups", "both collapse"],
)
def test_it_errs_as_seldom_where_seeds_or_images_are_less_benign(world):
    found = rates(world, seeds=3, difference=-0.02, studies=300)["in use"]
    assert found.covers >= 0.917
    assert found.holds <= 0.083


def test_what_no_test_can_keep_is_said_and_warned_of():
    one = rates(World("", collapse=0.25, collapsing=1), seeds=3, difference=0.0, studies=300)["in use"]
    assert one.differs > 0.1
    assert 0.4 < one.apart < 0.55  # some of three seeds falls in 1 − .8³ = 49 %
    benign = rates(World("", seed_sd=0.02), seeds=3, difference=0.0, studies=100)["in use"]
    assert benign.apart == 0
    shared = rates(World("", images=1000, bridge_sd=0.02), seeds=3, difference=0.0, studies=200)["in use"]
    assert shared.covers < 0.8


@pytest.mark.parametrize(
    "world",
    [
        World("", images=50, collapse=0.25, collapsing=1),
        World("", images=50, bridge_sd=0.02),
        World("", images=50, heavy=True),
    ],
)
def test_worlds_keep_the_truth_that_they_say(world):
    shares = simulate(world, np.random.default_rng(0), studies=1500, seeds=3, difference=0.1)
    np.testing.assert_allclose(shares.mean(axis=(0, 1, 3, 4)), [0.85, 0.75], atol=0.005)


def test_what_was_not_chosen_errs_where_images_are_few():
    found = rates(World("", images=40), seeds=5, difference=-0.02, studies=300)
    assert found["t over seeds"].covers < found["in use"].covers
    assert found["added whole"].half_width > found["in use"].half_width


def test_it_prints_a_table_a_method(monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "STUDIES", 20)
    monkeypatch.setattr(calibrate, "SEEDS", (3,))
    monkeypatch.setattr(calibrate, "WORLDS", (World("few", images=20),))
    monkeypatch.setattr(calibrate, "PLANNED", (World("few", images=20),))
    monkeypatch.setattr(calibrate, "UNKEPT", (World("one falls", images=20, collapse=0.25, collapsing=1),))
    monkeypatch.setattr(calibrate, "SETTLED", ((World("few", images=20), -0.1),))
    monkeypatch.setattr(calibrate_power, "PILOTS", 20)
    monkeypatch.setattr(calibrate, "promise", partial(calibrate_power.promise, single=5))
    calibrate.calibrate()
    printed = capsys.readouterr().out
    assert all(f"{name}: 20 studies" in printed for name in calibrate.METHODS)
    assert (
        printed.count("few") == 2 * 3 + 1 + 1
    )  # a row of what a plan promises, and one of what settles a cell
    assert printed.count("one falls") == 3  # not alike, so both ways
    assert "promises that can't be kept, by the method in use: 20 studies" in printed
    assert "promises to find in 80 % of studies" in printed
