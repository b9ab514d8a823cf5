import numpy as np
import pytest

from bridgelab.explain.probe.ridge import LAMBDAS, RidgeProbe, gram


def primal(x, y, new, strength):
    """Return predictions of ridge regression by the normal equations, with an intercept that is not shrunk."""
    about, mean = y.mean(0), x.mean(0)
    weights = np.linalg.solve(
        (x - mean).T @ (x - mean) + strength * np.eye(x.shape[1]), (x - mean).T @ (y - about)
    )
    return about + (new - mean) @ weights


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x, new = rng.normal(2, 1, (40, 7)), rng.normal(2, 1, (9, 7))
    return x, new, np.stack([x[:, 0] - x[:, 3], rng.normal(size=40)], 1) + 5


def test_it_is_ridge_with_the_lambda_that_errs_least_when_one_is_left_out(data):
    x, new, y = data
    for targets in (y, y[:, :1], y[:, 1:]):
        centred = x - x.mean(0)
        scale = np.linalg.eigvalsh(centred @ centred.T).clip(min=0).mean()
        errors = []
        for each in LAMBDAS:  # by brute force
            out = [
                targets[k]
                - primal(np.delete(x, k, 0), np.delete(targets, k, 0), x[k : k + 1], each * scale)[0]
                for k in range(40)
            ]
            errors.append((np.array(out) ** 2).mean())
        best = LAMBDAS[int(np.argmin(errors))] * scale
        result = RidgeProbe(gram(x, x)).predict(targets, gram(new, x))
        assert result == pytest.approx(primal(x, targets, new, best), abs=1e-6)


def test_wide_features_of_several_axes(data):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 20, 30))
    y = (x[:, 3, 4] > 0)[:, None] * 1.0
    assert RidgeProbe(gram(x, x)).predict(y, gram(x, x)).shape == (60, 1)


def test_too_few_examples():
    with pytest.raises(ValueError, match="1 examples to fit a probe on: at least 2"):
        RidgeProbe(np.ones((1, 1)))
