import numpy as np
import pytest

from bridgelab.pretraining.vit.training import batches, lr_share


def test_an_epoch_shows_each_scene_once():
    order = batches(np.random.default_rng(0).integers(3, 11, 103), 10, seed=0, epoch=2)
    assert order.shape == (10, 10)
    assert len(np.unique(order)) == 100
    assert not np.array_equal(
        order, batches(np.random.default_rng(0).integers(3, 11, 103), 10, seed=0, epoch=3)
    )


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    shares = [lr_share(k, 100, 10, 0.5) for k in range(100)]
    assert max(shares) == 1.0
    assert np.all(np.diff(shares[:10]) > 0)
    assert np.all(np.diff(shares[50:]) < 0)
    assert shares[-1] == pytest.approx(0.02)
