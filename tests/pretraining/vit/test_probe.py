"""The probes against a known truth."""

import numpy as np
import pytest
import torch

from bridgelab.pretraining.vit import probe as probes


def test_ridge_solves_its_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)) * [1, 2, 3, 4, 5] + 2, rng.normal(size=(40, 2))
    (weights,) = probes.ridge(x, y, (3.0,))
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    expected = np.linalg.solve(z.T @ z + 3.0 * np.eye(5), z.T @ (y - y.mean(0)))
    np.testing.assert_allclose(probes.predict(weights, x), z @ expected + y.mean(0), atol=1e-10)


def _known(seed, noise):
    """Objects whose features are a linear code of the truth, plus noise."""
    rng = np.random.default_rng(seed)
    n = 900
    labels = {name: rng.integers(0, len(words), n) for name, words in probes.ATTRIBUTES.items()}
    position = rng.uniform(-3, 3, (n, 2))
    code = np.concatenate(
        [np.eye(len(w))[labels[k]] for k, w in probes.ATTRIBUTES.items()] + [position], axis=1
    )
    mix = np.random.default_rng(99).normal(size=(code.shape[1], 40))
    features = code @ mix + noise * rng.normal(size=(n, 40))
    return probes.Objects(
        {"centre": features}, labels, position, np.repeat(np.arange(n // 6), 6), rng.uniform(0.3, 1, n),
        labels["size"] == 0,
    )  # fmt: skip


def test_probes_read_what_is_there():
    figures = probes.fit_and_test(_known(0, 0.05), _known(1, 0.05))["centre"]
    assert all(figures[name]["all"]["value"] == 1.0 for name in probes.ATTRIBUTES)
    assert min(figures["x"]["value"], figures["y"]["value"]) > 0.99
    assert figures["color"]["small"]["objects"] < figures["color"]["all"]["objects"] == 900


def test_around_is_the_centre_with_its_neighbours_and_nothing_beyond_the_edge():
    class Numbered:
        grid, image_size = (4, 4), (24, 24)

        def patches(self, images):
            return torch.arange(1.0, 17).reshape(1, 16, 1).expand(len(images), -1, -1)

    objects = probes.read_objects(Numbered(), probes.probe_scenes(3, range(20), (3, 5)))
    assert objects.features["around"].shape == (len(objects.image), 9)
    grid = np.zeros((6, 6))
    grid[1:5, 1:5] = np.arange(1, 17).reshape(4, 4)
    for centre, around in zip(objects.features["centre"][:, 0], objects.features["around"], strict=True):
        row, column = divmod(int(centre) - 1, 4)
        assert around.reshape(3, 3).tolist() == grid[row : row + 3, column : column + 3].tolist()


def test_probes_find_nothing_in_noise():
    figures = probes.fit_and_test(_known(0, 1e4), _known(1, 1e4))["centre"]
    assert figures["color"]["all"]["value"] == pytest.approx(1 / 8, abs=0.05)  # 4.5 standard errors
    assert abs(figures["x"]["value"]) < 0.05


def test_intervals_take_the_objects_of_an_image_together():
    image = np.repeat(np.arange(50), 8)
    together = np.repeat(np.random.default_rng(0).integers(0, 2, 50), 8).astype(float)
    low, high = probes.share(together, image)["interval"]
    apart_low, apart_high = probes.share(together, np.arange(400))["interval"]
    assert high - low > 2 * (apart_high - apart_low)  # √8 as wide
