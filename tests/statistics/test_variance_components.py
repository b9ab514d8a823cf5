"""Variance components, against the classical analysis of variance and against simulations with known truth."""

import numpy as np
import pytest

from bridgelab.statistics.variance_components import variance_components


def crossed(inits: int, orders: int) -> dict[str, list[int]]:
    """Every init with every order."""
    return {
        "init": np.repeat(np.arange(inits), orders).tolist(),
        "order": np.tile(np.arange(orders), inits).tolist(),
    }


def simulated(factors, deviations, residual, rng):
    values = residual * rng.standard_normal(len(next(iter(factors.values()))))
    for name, levels in factors.items():
        effects = deviations[name] * rng.standard_normal(max(levels) + 1)
        values = values + effects[levels]
    return values


def anova(values: np.ndarray) -> tuple[float, float, float]:
    """Expected mean squares of a balanced two-way table without replicates (Searle et al. 1992, ch. 4)."""
    rows, columns = values.shape
    mean = values.mean()
    of_rows = columns * ((values.mean(axis=1) - mean) ** 2).sum() / (rows - 1)
    of_columns = rows * ((values.mean(axis=0) - mean) ** 2).sum() / (columns - 1)
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + mean
    error = (rest**2).sum() / ((rows - 1) * (columns - 1))
    return (of_rows - error) / columns, (of_columns - error) / rows, error


def test_equals_the_analysis_of_variance_where_that_is_positive():
    rng, compared = np.random.default_rng(0), 0
    factors = crossed(5, 4)
    for _ in range(12):
        values = simulated(factors, {"init": 2.0, "order": 1.5}, 1.0, rng)
        expected = anova(values.reshape(5, 4))
        if min(expected) > 0:
            compared += 1
            estimated = variance_components(values, factors)
            assert [estimated[k].variance for k in ("init", "order", "residual")] == pytest.approx(
                expected, rel=2e-2
            )
    assert compared >= 8


def test_unbalanced_runs_find_the_planted_shares_and_intervals_cover_them():
    """Three by three inits and orders, and two more searches on the diagonal: the design of `variance`."""
    pairs = [(i, o, 0) for i in range(3) for o in range(3)] + [(i, i, s) for i in range(3) for s in (1, 2)]
    factors = dict(zip(("init", "order", "search"), map(list, zip(*pairs, strict=True)), strict=True))
    truth = {"init": 4.0, "order": 1.0, "search": 0.0, "residual": 0.25}
    rng, studies = np.random.default_rng(1), 60
    means, covered = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 0)
    for _ in range(studies):
        values = simulated(factors, {k: truth[k] ** 0.5 for k in factors}, truth["residual"] ** 0.5, rng)
        for name, component in variance_components(values, factors).items():
            means[name] += component.variance / studies
            covered[name] += component.low <= truth[name] <= component.high
            assert component.low <= component.variance <= component.high
    assert means["init"] == pytest.approx(4.0, rel=0.3)
    assert means["order"] == pytest.approx(1.0, rel=0.3)
    assert means["search"] < 0.15
    assert means["residual"] == pytest.approx(0.25, rel=0.2)
    assert min(covered.values()) >= 0.9 * studies, covered


def test_units_are_the_values():
    rng, factors = np.random.default_rng(2), crossed(4, 4)
    values = simulated(factors, {"init": 1.0, "order": 1.0}, 1.0, rng)
    small, large = variance_components(values, factors), variance_components(100 * values + 7, factors)
    for name in small:
        assert large[name].variance == pytest.approx(1e4 * small[name].variance, rel=1e-3, abs=1e-3)


def test_equal_values_have_no_variance():
    assert all(c.variance == c.high == 0 for c in variance_components([0.5] * 9, crossed(3, 3)).values())


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"init": [0, 0, 0, 0], "order": [0, 1, 2, 3]}, "init is 0 in every run"),
        ({"init": [0, 1, 2, 0], "order": [0, 1, 2, 0]}, "vary together"),
        ({"init": [0, 0, 1, 2], "order": [0, 1, 0, 0]}, "vary together|nothing for the residual"),
        ({"init": [0, 1]}, "one"),
    ],
)
def test_runs_that_can_not_tell_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        variance_components([0.1, 0.2, 0.3, 0.5], factors)
