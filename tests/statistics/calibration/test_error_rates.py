"""The simulation against its own truth, and a short calibration; `make calibrate` runs the long one."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bridgelab.cli.main import main
from bridgelab.report.tables import calibration as tables
from bridgelab.statistics.calibration import error_rates as error_rates_module
from bridgelab.statistics.calibration import promised_power, promised_seeds, simulation
from bridgelab.statistics.calibration.error_rates import METHODS, Case, error_rates
from bridgelab.statistics.calibration.simulation import Scenario, simulate, simulated_contrasts
from bridgelab.statistics.contrast import contrast, contribution


@pytest.mark.parametrize("difference", [0.0, 0.1])
def test_simulated_studies_have_the_truth_that_they_say(difference):
    scenario = Scenario("", images=50, seed_sd=0.03, mean=0.7)
    shares = simulate(scenario, np.random.default_rng(0), studies=400, seeds=5, difference=difference)
    means = shares.mean(axis=(0, 1, 3, 4))
    np.testing.assert_allclose(means, [0.7 + difference / 2, 0.7 - difference / 2], atol=0.004)
    # Over cells and images, which leaves the seed's effect and a little noise.
    by_run = shares.mean(axis=(1, 4))
    assert by_run.std(axis=2, ddof=1).mean() == pytest.approx(0.03, abs=0.008)


def test_answers_to_one_image_go_together():
    shares = simulate(
        Scenario("", questions=2, seed_sd=0), np.random.default_rng(0), studies=20, seeds=3, difference=0
    )
    of_two = shares.var()  # independent answers would give p (1 − p) / 2
    assert of_two > 1.2 * 0.8 * 0.2 / 2


def test_simulated_studies_are_judged_as_recorded_ones_are():
    shares = simulate(Scenario("", images=30), np.random.default_rng(0), studies=1, seeds=3, difference=0.05)
    result, (first, second) = simulated_contrasts(shares), shares[0, 0]
    image, cell = np.arange(30), np.ones(30, dtype=bool)
    expected = contrast(*(contribution(x, image, [(1.0, cell)], [0] * 3) for x in (first, second)))
    assert result.value[0, 0] == pytest.approx(expected.value)
    assert result.variance[0, 0] == pytest.approx(expected.variance)
    assert result.degrees_of_freedom[0, 0] == pytest.approx(expected.degrees_of_freedom)


# 400 studies: a rate of 5 % has a standard deviation of 1.1 points; of five cells each, a coverage of 95 % about as much.
@pytest.mark.parametrize("difference", [0.0, -0.02])
def test_the_verdict_errs_as_seldom_as_it_says(difference):
    result = error_rates(Case(Scenario("", seed_sd=0.02), 3, difference), studies=400)["in use"]
    assert result.differs <= 0.083
    assert result.covers >= 0.917
    if difference:
        assert result.holds <= 0.083


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("", seed_sd=0.03, heavy_tails=True),
        Scenario("", images=8, questions=1),
        Scenario("", images=50, questions=12),
        Scenario("", collapse=0.25),
    ],
    ids=["heavy tails", "few images", "groups", "both collapse"],
)
def test_it_errs_as_seldom_where_seeds_or_images_are_less_benign(scenario):
    result = error_rates(Case(scenario, 3, -0.02), studies=300)["in use"]
    assert result.covers >= 0.917
    assert result.holds <= 0.083


def test_what_no_test_can_keep_is_said_and_warned_of():
    one = error_rates(Case(Scenario("", collapse=0.25, collapsing_bridges=1), 3, 0.0), studies=300)["in use"]
    assert one.differs > 0.1
    assert 0.4 < one.outlying < 0.55  # at least one of three seeds collapses in 1 − .8³ = 49 %
    benign = error_rates(Case(Scenario("", seed_sd=0.02), 3, 0.0), studies=100)["in use"]
    assert benign.outlying == 0
    shared = error_rates(Case(Scenario("", images=1000, shared_sd=0.02), 3, 0.0), studies=200)["in use"]
    assert shared.covers < 0.8


def test_pairs_of_three_seeds_err_more_often_and_tell_less():
    """With 20 cells a variance over three pairs is now and then tiny by chance, and Satterthwaite's degrees of freedom believe it."""
    scenario = Scenario("", seed_sd=0.03, comparators=4)
    result = error_rates(Case(scenario, 3, -0.02), studies=500)
    assert result["in use"].differs <= 0.075  # 5 % and 2.5 standard deviations of 500 studies
    assert result["paired by seed"].differs > result["in use"].differs
    assert result["paired by seed"].half_width > result["in use"].half_width


def test_an_order_that_all_bridges_share_is_the_same_for_all_at_a_seed():
    one = Scenario("", images=800, seed_sd=0.03, comparators=2, order_share=0.5)
    shares = simulate(one, np.random.default_rng(0), studies=60, seeds=20, difference=0.0)
    by_run = shares.mean(axis=(1, 4))
    first, second = by_run[:, 0].ravel(), by_run[:, 2].ravel()
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=0.1)
    other = simulate(
        replace(one, order_share=-0.5), np.random.default_rng(0), studies=60, seeds=20, difference=0.0
    )
    by_run = other.mean(axis=(1, 4))
    assert np.corrcoef(by_run[:, 0].ravel(), by_run[:, 2].ravel())[0, 1] == pytest.approx(-0.5, abs=0.1)
    assert np.corrcoef(by_run[:, 1].ravel(), by_run[:, 2].ravel())[0, 1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("", images=50, collapse=0.25, collapsing_bridges=1),
        Scenario("", images=50, shared_sd=0.02),
        Scenario("", images=50, heavy_tails=True),
    ],
)
def test_worlds_keep_the_truth_that_they_say(scenario):
    shares = simulate(scenario, np.random.default_rng(0), studies=1500, seeds=3, difference=0.1)
    np.testing.assert_allclose(shares.mean(axis=(0, 1, 3, 4)), [0.85, 0.75], atol=0.005)


def test_what_was_not_chosen_errs_where_images_are_few():
    result = error_rates(Case(Scenario("", images=40), 5, -0.02), studies=300)
    assert result["t over seeds"].covers < result["in use"].covers
    assert result["added whole"].half_width > result["in use"].half_width


def test_it_prints_a_table_a_method(monkeypatch, capsys):
    few, falls = (
        Scenario("few", images=20),
        Scenario("one falls", images=20, collapse=0.25, collapsing_bridges=1),
    )
    monkeypatch.setattr(simulation, "STUDIES", 20)
    for module in (simulation, error_rates_module):
        monkeypatch.setattr(module, "SEEDS", (3,))
    monkeypatch.setattr(error_rates_module, "SCENARIOS", (few,))
    for module in (error_rates_module, tables):
        monkeypatch.setattr(module, "UNCONTROLLED", (falls,))
    monkeypatch.setattr(promised_power, "PLANNED", (few,))
    monkeypatch.setattr(promised_power, "PILOTS", 20)
    monkeypatch.setattr(
        promised_power, "promised_power", partial(promised_power.promised_power, single_pilots=5)
    )
    monkeypatch.setattr(promised_seeds, "ADVISED", ((few, -0.1),))
    assert main(["calibrate"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: 20 studies" in printed for name in METHODS)
    # Error rates, one row of promised power, and one of promised seeds.
    assert printed.count("few") == 2 * len(METHODS) + 1 + 1
    assert printed.count("one falls") == 3  # not symmetric, so both signs
    assert "promises that can't be kept, by the method in use: 20 studies" in printed
    assert "promises to find in 80 % of studies" in printed
