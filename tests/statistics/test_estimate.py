"""Estimates against known truth, closed forms and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_estimate import of
from scipy import stats

from bridgelab.statistics.estimate import Runs, Sample
from bridgelab.statistics.gap_closed import gap_closed

THREE = (0, 0, 0)


# In 400 studies, a coverage of 95 % has a standard deviation of sqrt(.95 * .05 / 400) = 1.1 points; the bounds allow three of them. The
# upper bound is higher for few seeds, as Satterthwaite's degrees of freedom are estimated.
@pytest.mark.parametrize(
    ("seeds", "images", "each", "seed_effect", "low", "high"),
    [(3, 40, 4, 0.0, 0.917, 0.995), (3, 40, 4, 0.02, 0.917, 0.995), (8, 150, 2, 0.02, 0.917, 0.983),
     (3, 100, 5, 0.08, 0.917, 0.995)],
)  # fmt: skip
@pytest.mark.parametrize("data_seeds", ["one", "each"])
def test_intervals_hold_the_truth_at_the_nominal_rate(
    seeds, images, each, seed_effect, low, high, data_seeds
):
    studies, held = 400, np.zeros(3)
    truth = {"linear": 0.6, "mlp": 0.55, "blind": 0.3, "words": 0.85}
    sample = Sample(np.repeat(np.arange(images), each))
    for study in range(studies):
        rng = np.random.default_rng([study, 7])
        hard = np.repeat(rng.uniform(-0.1, 0.1, images), each)
        result = {}
        for name, right in truth.items():
            runs = seeds if name != "words" else 1
            own = rng.normal(0, seed_effect, (runs, 1)) * (name in ("linear", "mlp"))
            scores = (rng.random((runs, images * each)) < right + hard + own).astype(float)
            result[name] = sample.mean(
                scores, Runs(tuple(range(runs)) if data_seeds == "each" else (0,) * runs)
            )
        gap = gap_closed(result["linear"], result["blind"], result["words"])
        for i, (estimate, value) in enumerate(
            [(result["linear"], 0.6), (result["linear"] - result["mlp"], 0.05), (gap, 0.3 / 0.55)]
        ):
            below, above = estimate.interval
            held[i] += below <= value <= above
    assert np.all(held / studies >= low), held / studies
    assert np.all(held / studies <= high), held / studies


def test_seeds_alone_give_the_t_interval_of_their_mean():
    scores = np.tile(np.array([[0.2], [0.5], [0.9], [0.6]]), (1, 4000))
    result = Sample(np.arange(4000)).mean(scores, Runs((0,) * 4), within_unit=False)
    expected = stats.ttest_1samp(scores[:, 0], 0).confidence_interval()
    assert result.interval == pytest.approx(tuple(expected))


def test_images_alone_give_the_t_interval_of_their_mean():
    by_image = np.random.default_rng(1).random(80)
    result = Sample(np.repeat(np.arange(80), 3)).mean(np.repeat(by_image, 3)[None], Runs((0,)))
    assert result.interval == pytest.approx(tuple(stats.ttest_1samp(by_image, 0).confidence_interval()))


def test_bridges_that_answer_alike_differ_by_little():
    scores = np.random.default_rng(2).random((3, 60))
    sample = Sample(np.repeat(np.arange(20), 3))
    first, second = (sample.mean(scores, Runs((0, 1, 2)), within_unit=False) for _ in range(2))
    low, high = (first - second).interval
    assert low == -high
    assert 0 <= high < 0.2


def test_two_numbers_of_the_same_runs_are_paired_by_run():
    """The three runs differ by much, but the difference within each run varies little, and so does the estimate."""
    rng = np.random.default_rng(3)
    before, own = rng.random((3, 60)), Runs(THREE)
    after = before - 0.1 + 0.01 * rng.random((3, 60))
    sample = Sample(np.arange(60))
    paired = sample.mean(before, own, within_unit=False) - sample.mean(after, own, within_unit=False)
    assert paired.interval == pytest.approx(sample.mean(before - after, own, within_unit=False).interval)
    apart = sample.mean(before, own) - sample.mean(after, Runs(THREE))
    assert apart.contrast.num_runs == (3, 3)


def test_runs_of_a_data_seed_are_averaged_before_seeds():
    scores = np.repeat(np.array([[0.0], [1.0], [0.5], [0.5]]), 30, axis=1)
    # Both data seeds mean 0.5.
    result = Sample(np.arange(30)).mean(scores, Runs((4, 4, 7, 7)), within_unit=False)
    assert result.interval == pytest.approx((0.5, 0.5))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(2, 12), st.integers(0, 1000))
def test_an_interval_lies_where_scores_can(runs, images, seed):
    rng = np.random.default_rng(seed)
    sample = Sample(np.repeat(np.arange(images), 2))
    one, other = (
        sample.mean(rng.integers(0, 2, (runs, 2 * images)).astype(float), Runs((0,) * runs)) for _ in range(2)
    )
    low, high = one.interval
    assert 0 <= low <= one.value <= high <= 1
    assert low < high  # answers that never differ do not give certainty
    low, high = (one - other).interval
    assert -1 <= low <= high <= 1


def test_without_intervals_there_are_the_same_numbers():
    scores = np.random.default_rng(0).random((3, 30))
    with_them, without = (
        Sample(np.arange(30), intervals=yes).mean(scores, Runs((0, 0, 1))) for yes in (True, False)
    )
    assert without.value == pytest.approx(with_them.value)
    assert np.isnan(without.interval).all()
    assert np.isnan((with_them - without).interval).all()


@pytest.mark.parametrize("chosen", [np.zeros(4, dtype=bool), np.arange(4) == 0])
def test_of_no_example_or_one_image_there_is_no_interval(chosen):
    result = Sample(np.arange(4)).mean(np.ones((1, 4)), Runs((0,)), chosen)
    assert np.isnan(result.value) == (not chosen.any())
    assert np.isnan(result.interval).all()


def test_a_quotient_of_one_runs_numbers_has_the_delta_methods_variance():
    a, b = np.random.default_rng(5).normal(size=(2, 400)) * 0.02 / 20
    a, b, own = a - a.mean(), b - b.mean(), Runs((0,))
    result = of(0.3, a, own) / of(0.5, b, own)
    assert result.value == pytest.approx(0.6)
    assert result.contrast.variance == pytest.approx((((a - 0.6 * b) / 0.5) ** 2).sum())
    assert sum(result.interval) / 2 == pytest.approx(0.6)
    assert (result * -1).plus_constant(1).interval == pytest.approx(
        tuple(1 - end for end in reversed(result.interval))
    )
