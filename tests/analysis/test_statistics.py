"""The bootstrap against known truth, closed forms and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.analysis.statistics import Bootstrap, Estimate, gap_closed, is_flat, late_gain


def constant(value: float) -> Estimate:
    return Estimate(value, np.full(10, value))


# 400 studies: if an interval covers in 95 %, the share seen has a standard deviation of sqrt(.95 * .05 / 400)
# = 1.1 points, so 3 of them are 3.3. Percentiles of few clusters and three seeds cost 1 to 2 points more
# (Efron 1987); above, nothing is granted. The last study is the documented limit: three seeds that differ by
# more than images do.
@pytest.mark.parametrize(
    ("seeds", "images", "each", "seed_effect", "low", "high"),
    [(3, 40, 4, 0.0, 0.917, 0.983), (3, 40, 4, 0.02, 0.90, 0.983), (8, 60, 4, 0.02, 0.917, 0.983),
     (3, 100, 5, 0.03, 0.85, 0.95)],
)  # fmt: skip
@pytest.mark.parametrize("data_seeds", ["one", "each"])
def test_intervals_hold_the_truth_at_the_nominal_rate(
    seeds, images, each, seed_effect, low, high, data_seeds
):
    studies, held = 400, np.zeros(3)
    truth = {"linear": 0.6, "mlp": 0.55, "blind": 0.3, "words": 0.85}
    for study in range(studies):
        rng = np.random.default_rng([study, 7])
        hard = np.repeat(rng.uniform(-0.17, 0.17, images), each)
        draws = Bootstrap(np.repeat(np.arange(images), each), repetitions=300, seed=study)
        found = {}
        for name, right in truth.items():
            runs = seeds if name != "words" else 1
            own = rng.normal(0, seed_effect, (runs, 1)) * (name != "words")
            scores = (rng.random((runs, images * each)) < right + hard + own).astype(float)
            weights = draws.seeds(range(runs) if data_seeds == "each" else [0] * runs)
            found[name] = draws.mean(scores, weights)
        gap = gap_closed(found["linear"], found["blind"], found["words"])
        for i, (estimate, value) in enumerate(
            [(found["linear"], 0.6), (found["linear"] - found["mlp"], 0.05), (gap, 0.3 / 0.55)]
        ):
            below, above = estimate.interval
            held[i] += below <= value <= above
    assert np.all(held / studies >= low), held / studies
    assert np.all(held / studies <= high), held / studies


def test_replicates_equal_a_loop_over_the_draws():
    rng = np.random.default_rng(0)
    images = np.array(["b", "a", "c", "a", "b", "c", "c"])
    scores = rng.random((3, 7))
    draws = Bootstrap(images, repetitions=20, seed=3)
    weights = draws.seeds([0, 0, 0])
    estimate = draws.mean(scores, weights)
    assert estimate.value == pytest.approx(scores.mean())

    def on_images(repetition):
        rows = [
            index
            for place, image in enumerate("abc")
            for _ in range(int(draws.drawn[repetition, place]))
            for index in np.flatnonzero(images == image)
        ]
        return np.array([np.mean([score[row] for row in rows]) for score in scores])

    by_seed = np.array([on_images(repetition) for repetition in range(20)])
    deviation = scores.mean(axis=1) - scores.mean()
    noise = np.mean([np.var([row[s] - row.mean() for row in by_seed]) for s in range(3)])
    own = deviation * np.sqrt(max(0, 1 - noise / np.mean(deviation**2)))
    expected = [by_seed[r].mean() + sum(weights.shares[r, s] * own[s] for s in range(3)) for r in range(20)]
    np.testing.assert_allclose(estimate.replicates, expected, atol=1e-12)


def test_seeds_alone_give_the_variance_of_a_mean():
    # Every example of a seed scores the same, so images add nothing, and the variance over draws of S − 1 of
    # S seeds is that of the mean of S: s² / S.
    scores = np.tile(np.array([[0.2], [0.5], [0.9], [0.6]]), (1, 50))
    draws = Bootstrap(np.arange(50), repetitions=40_000)
    estimate = draws.mean(scores, draws.seeds([0, 0, 0, 0]))
    assert estimate.replicates.var() == pytest.approx(np.var([0.2, 0.5, 0.9, 0.6], ddof=1) / 4, rel=0.03)


def test_images_alone_give_the_variance_of_a_mean():
    rng = np.random.default_rng(1)
    by_image = rng.random(80)
    draws = Bootstrap(np.repeat(np.arange(80), 3), repetitions=20_000)
    estimate = draws.mean(np.repeat(by_image, 3)[None], draws.seeds([0]))
    assert estimate.replicates.var() == pytest.approx(by_image.var() / 80, rel=0.05)


def test_bridges_that_answer_alike_differ_by_exactly_nothing():
    # Paired: the same images and data seeds are drawn for both.
    rng = np.random.default_rng(2)
    scores = rng.random((3, 60))
    draws = Bootstrap(np.repeat(np.arange(20), 3), repetitions=200)
    first, second = (draws.mean(scores, draws.seeds([0, 1, 2])) for _ in range(2))
    np.testing.assert_allclose((first - second).replicates, 0, atol=1e-12)


def test_initialisations_of_one_data_seed_are_drawn_for_each_bridge_by_itself():
    draws = Bootstrap(np.arange(9), repetitions=200)
    assert not np.array_equal(draws.seeds([0, 0, 0]).shares, draws.seeds([0, 0, 0]).shares)
    assert np.array_equal(draws.seeds([0, 1, 2]).shares, draws.seeds([0, 1, 2]).shares)


def test_runs_of_a_data_seed_are_meant_before_seeds_are_drawn():
    scores = np.repeat(np.array([[0.0], [1.0], [0.5], [0.5]]), 30, axis=1)
    draws = Bootstrap(np.arange(30), repetitions=100)
    estimate = draws.mean(scores, draws.seeds([4, 4, 7, 7]))  # both data seeds mean 0.5
    np.testing.assert_allclose(estimate.replicates, 0.5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 1000))
def test_an_interval_lies_where_scores_can(runs, images, seed):
    rng = np.random.default_rng(seed)
    draws = Bootstrap(np.repeat(np.arange(images), 2), repetitions=50, seed=seed)
    estimate = draws.mean(np.full((runs, 2 * images), rng.random()), draws.seeds([0] * runs))
    low, high = estimate.interval
    assert low == pytest.approx(estimate.value)
    assert high == pytest.approx(estimate.value)


def test_the_same_seed_gives_the_same_table():
    scores = np.random.default_rng(0).random((3, 30))
    first, second = Bootstrap(np.arange(30), seed=5), Bootstrap(np.arange(30), seed=5)
    a, b = (draws.mean(scores, draws.seeds([0, 0, 0])) for draws in (first, second))
    assert np.array_equal(a.replicates, b.replicates)


def test_no_interval_passes_what_a_mean_can_be():
    scores = np.ones((3, 40))
    scores[0, :4] = 0  # one seed of three with errors: the others' deviations lie above 1
    draws = Bootstrap(np.arange(40), repetitions=500)
    low, high = draws.mean(scores, draws.seeds([0, 0, 0])).interval
    assert low < scores.mean()
    assert high <= 1


def test_no_example_gives_no_number():
    draws = Bootstrap(np.arange(4), repetitions=10)
    estimate = draws.mean(np.ones((1, 4)), draws.seeds([0]), np.zeros(4, dtype=bool))
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.interval).all()


def test_gap_closed_is_not_given_under_ten_points():
    assert gap_closed(constant(0.5), constant(0.4), constant(0.499)) is None
    assert gap_closed(constant(0.5), constant(0.4), constant(float("nan"))) is None
    assert gap_closed(constant(0.5), constant(0.4), constant(0.6)).value == pytest.approx(0.5)


@pytest.mark.parametrize(("bridge", "closed"), [(0.9, 1.25), (0.3, -0.25)])
def test_gap_closed_is_not_clipped(bridge, closed):
    found = gap_closed(constant(bridge), constant(0.4), constant(0.8))
    assert found.value == pytest.approx(closed)
    assert found.interval == pytest.approx((closed, closed))


def test_both_parts_of_the_gap_are_resampled_together():
    # A bridge that answers as words do closes all of the gap in every draw, however both move.
    rng = np.random.default_rng(0)
    words, blind = Estimate(0.9, rng.normal(0.9, 0.02, 500)), Estimate(0.3, rng.normal(0.3, 0.02, 500))
    assert gap_closed(words, blind, words).interval == pytest.approx((1, 1))


def test_late_gain_is_measured_over_the_last_fifth():
    assert late_gain([[0, 0.0], [800, 0.60], [900, 0.50], [1000, 0.63]]) == pytest.approx(0.03)
    assert late_gain([[600, 0.50], [900, 0.6], [1000, 0.70]]) == pytest.approx(0.20)  # never over less
    assert late_gain([[1000, 0.63], [0, 0.0], [800, 0.60]]) == pytest.approx(0.03)  # order does not matter


@pytest.mark.parametrize("curve", [[], [[1000, 0.5]], [[900, 0.5], [1000, 0.5]]])
def test_a_curve_without_a_point_before_the_last_fifth_says_nothing(curve):
    assert np.isnan(late_gain(curve))
    assert not is_flat(late_gain(curve))


@pytest.mark.parametrize(("end", "flat"), [(0.6099, True), (0.61, False), (0.65, False), (0.55, True)])
def test_flat_is_less_than_one_point(end, flat):
    assert is_flat(late_gain([[0, 0.2], [800, 0.6], [1000, end]])) is flat


def test_too_many_data_seeds_are_refused():
    with pytest.raises(ValueError, match="34 data seeds: this bootstrap draws at most 33"):
        Bootstrap(np.arange(3), repetitions=2).seeds(range(34))
