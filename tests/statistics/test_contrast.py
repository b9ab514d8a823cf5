"""Components of variance against closed forms, scipy's t tests and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bridgelab.statistics.contrast import contrast, contribution

ALL = np.ones(400, dtype=bool)
EACH = np.arange(400)


def whole(scores, seeds, image=EACH):
    return contribution(scores, image, [(1.0, np.ones(scores.shape[1], dtype=bool))], seeds)


def constant(means):
    """Return runs that score the same on every image, so that only seeds vary (apart from the least variance of 400 images)."""
    return np.tile(np.asarray(means)[:, None], (1, 400))


def test_seeds_alone_give_welchs_t_test():
    a, b = [0.2, 0.5, 0.9, 0.6], [0.1, 0.15, 0.3]
    result = contrast(whole(constant(a), [0] * 4), whole(constant(b), [0] * 3))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert result.degrees_of_freedom == pytest.approx(expected.df, rel=2e-3)
    assert 2 * min(result.p_below(0), result.p_above(0)) == pytest.approx(expected.pvalue, rel=2e-3)
    assert result.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=2e-3)


def test_runs_count_as_independent_also_where_they_share_their_orders():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 400))
    one = contrast(whole(a, [0, 1, 2]), whole(b, [0, 1, 2]))
    assert one.variance == pytest.approx(contrast(whole(a, [0] * 3), whole(b, [0] * 3)).variance)
    assert one.variance == pytest.approx(
        contrast(whole(a[[2, 0, 1]], [2, 0, 1]), whole(b, [0, 1, 2])).variance
    )


def test_images_alone_give_the_t_test_over_images():
    # All runs answer alike, so seeds add nothing, and differences by image are a plain sample.
    rng = np.random.default_rng(1)
    a, b = (np.tile(rng.integers(0, 2, 400).astype(float), (3, 1)) for _ in range(2))
    result = contrast(whole(a, [0] * 3), whole(b, [0] * 3))
    expected = stats.ttest_rel(a[0], b[0])
    assert result.degrees_of_freedom == pytest.approx(399)
    assert result.interval() == pytest.approx(tuple(expected.confidence_interval()))


def test_components_equal_a_loop_over_images_and_runs():
    rng = np.random.default_rng(2)
    image = np.array([0, 0, 1, 2, 2, 2, 3])
    cell = np.array([True, True, True, False, True, True, True])
    runs = {"a": rng.random((3, 7)), "b": rng.random((4, 7))}
    result = contrast(*(contribution(x, image, [(1.0, cell)], [0] * len(x)) for x in runs.values()))

    def share(run, number):
        """Return what an image adds to a run's mean over the cell."""
        at = [i for i in range(7) if image[i] == number and cell[i]]
        return sum(run[i] - run[cell].mean() for i in at) / cell.sum()

    of_images = sum(
        (np.mean([share(r, c) for r in runs["a"]]) - np.mean([share(r, c) for r in runs["b"]])) ** 2
        for c in range(4)
    )
    assert result.image_variance == pytest.approx(max(4 / 3 * of_images, 1 / 16))
    for place, x in enumerate(runs.values()):
        assert result.seed_variance[place] == pytest.approx(x[:, cell].mean(1).var(ddof=1) / len(x))
        both = sum(np.var([share(r, c) for r in x], ddof=1) for c in range(4)) / len(x)
        assert result.intersection_variance[place] == pytest.approx(4 / 3 * both)
    assert result.variance == pytest.approx(
        np.maximum(result.seed_variance - result.intersection_variance, 0).sum() + result.image_variance
    )


def test_a_cell_beside_another_is_the_difference_of_their_means():
    rng = np.random.default_rng(3)
    scores, cell = rng.random((3, 400)), EACH < 100
    result = contribution(scores, EACH // 2, [(1.0, cell), (-1.0, ~cell)], [0] * 3)
    np.testing.assert_allclose(result.values, scores[:, cell].mean(1) - scores[:, ~cell].mean(1))
    np.testing.assert_allclose(result.influence.sum(axis=1), 0, atol=1e-12)


def test_runs_of_a_data_seed_are_averaged():
    rng = np.random.default_rng(4)
    scores = rng.random((4, 400))
    result = whole(scores, [7, 7, 3, 3])
    np.testing.assert_allclose(result.values, [scores[2:].mean(), scores[:2].mean()])


def test_answers_that_never_differ_are_not_certain():
    result = contrast(whole(np.ones((3, 400)), [0] * 3), whole(np.ones((3, 400)), [0] * 3))
    low, high = result.interval()
    assert -0.006 < low < -0.004
    assert high == -low


def test_one_run_says_nothing_of_seeds():
    result = contrast(whole(np.ones((1, 400)), [0]), whole(np.ones((3, 400)), [0] * 3))
    assert np.isnan(result.variance)
    assert np.isnan(result.interval()).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(2, 20), st.integers(0, 1000))
def test_the_other_way_round_only_the_sign_changes(first, second, images, seed):
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), 2)
    a, b = (whole(rng.random((n, 2 * images)), [0] * n, image) for n in (first, second))
    one, other = contrast(a, b), contrast(b, a)
    assert one.value == pytest.approx(-other.value)
    assert one.variance == pytest.approx(other.variance)
    assert one.degrees_of_freedom == pytest.approx(other.degrees_of_freedom)
    assert one.p_below(-0.02) == pytest.approx(other.p_above(0.02))


def test_a_cell_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="a cell of 0 examples"):
        contribution(np.ones((3, 400)), EACH, [(1.0, ~ALL)], [0] * 3)


def test_only_the_images_that_a_cell_asks_about_count():
    """A cell on 8 of 400 images has the same precision as in a study of these 8."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 2, (2, 3, 400)).astype(float)
    image, cell = EACH // 2, np.isin(EACH // 2, np.arange(3, 11))
    among = contrast(*(contribution(x, image, [(1.0, cell)], [0] * 3) for x in (a, b)))
    alone = contrast(*(whole(x[:, cell], [0] * 3, image[cell]) for x in (a, b)))
    assert among.num_images == alone.num_images == 8
    for name in ("value", "seed_variance", "intersection_variance", "image_variance", "degrees_of_freedom"):
        assert getattr(among, name) == pytest.approx(getattr(alone, name))


def test_a_large_cell_lends_a_small_one_no_degrees_of_freedom():
    rng = np.random.default_rng(6)
    small = EACH >= 392
    both = [(1.0, ~small), (-1.0, small)]
    result = contrast(*(contribution(x, EACH, both, [0] * 3) for x in rng.random((2, 3, 400))))
    weights = np.where(small, 1 / 8, 1 / 392) ** 2
    assert result.num_images == pytest.approx(weights.sum() ** 2 / (weights**2).sum())  # Kish
    assert result.num_images < 9


def test_images_with_more_questions_count_for_more():
    image = np.repeat(np.arange(4), [1, 2, 3, 4])
    assert whole(np.random.default_rng(7).random((3, 10)), [0] * 3, image).num_images == pytest.approx(
        100 / 30
    )


def test_of_one_image_nothing_is_known_of_others():
    one = [(1.0, EACH < 4)]
    result = contrast(*(contribution(np.ones((3, 400)), EACH // 4, one, [0] * 3) for _ in range(2)))
    assert np.isnan(result.variance)
