import numpy as np
import pytest

from bridgelab.explain.effective_rank import effective_rank, rank_over_images, rank_within_image


def test_effective_rank_of_known_matrices():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    assert effective_rank(np.eye(9)[:5]) == pytest.approx(5)
    assert effective_rank(turn[:, :3] @ turn[:3]) == pytest.approx(3)
    assert effective_rank(np.outer(rng.normal(size=4), rng.normal(size=6))) == pytest.approx(1)
    assert effective_rank(np.zeros((3, 3))) == 0
    p = np.array([0.7, 0.2, 0.1])
    assert effective_rank(np.diag(p)) == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_ranks_of_tokens():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(60, 1, 12)), 5, 1)  # each image's tokens are equal
    within, over = rank_within_image(same), rank_over_images(same)
    assert within.value == pytest.approx(1)
    low, high = over.interval
    assert 9 < low < over.value < high < 13
    plane = rng.normal(size=(60, 5, 2)) @ rng.normal(size=(2, 12)) + 100  # the mean is subtracted
    assert rank_over_images(plane).value == pytest.approx(2, abs=0.1)
