r"""How much of the spread between runs is due to the init, to the order of examples, and to the search for a learning rate.

The model is that of crossed random effects, for run r of one bridge:

$y_r = \mu + \sum_k a_{k, l_k(r)} + e_r, \quad a_{k, l} \sim N(0, \sigma_k^2), \quad e_r \sim N(0, \sigma_e^2)$

where $l_k(r)$ is the run's level of factor k (its seed, for instance). The residual holds what no factor explains alone: their
interactions, and what a machine adds. Variances are estimated by restricted maximum likelihood (REML; Patterson & Thompson 1971,
doi:10.1093/biomet/58.3.545), which for balanced designs equals the classical analysis of variance wherever that is positive.
Intervals come from the profile likelihood, with the quantile of $F_{1, \nu}$ in place of $\chi^2_1$'s, where $\nu$ are the
residual's degrees of freedom: with 8 of these, 95 % intervals by $\chi^2_1$ covered the residual's variance in 86 % of simulated
studies. At the boundary 0 they are conservative (Self & Liang 1987, doi:10.1080/01621459.1987.10478472).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats

RESIDUAL = "residual"


@dataclass(frozen=True)
class Component:
    """An estimated variance.

    Args:
        variance: of one factor, in squared units of the values.
        low, high: its interval.
    """

    variance: float
    low: float
    high: float


def variance_components(
    values: Sequence[float], factors: Mapping[str, Sequence[int]], level: float = 0.95
) -> dict[str, Component]:
    """Estimate the variance that each crossed factor contributes, and the residual's.

    Args:
        values: one a run.
        factors: name -> the level of each run.
        level: of the intervals.
    Returns:
        A component for each factor, and one called "residual".
    Raises:
        ValueError: if a factor does not vary, if two factors vary together, or if too few runs are left for the residual.
    """
    y = np.asarray(values, dtype=float)
    indicators = {name: _indicators(name, levels, len(y)) for name, levels in factors.items()}
    design = np.column_stack([np.ones((len(y), 1)), *indicators.values()])
    rank = np.linalg.matrix_rank(design)
    if rank < 1 + sum(matrix.shape[1] - 1 for matrix in indicators.values()):
        raise ValueError(
            f"the levels of {', '.join(factors)} vary together: their shares can't be told apart. Run other combinations of them too."
        )
    if rank >= len(y):
        raise ValueError(
            f"{len(y)} runs leave nothing for the residual beside {', '.join(factors)}: {rank + 1} runs or more are needed."
        )
    scale = y.var(ddof=1)
    if scale == 0:
        return {name: Component(0.0, 0.0, 0.0) for name in (*factors, RESIDUAL)}
    names = (*indicators, RESIDUAL)
    likelihood = _Restricted(
        (y - y.mean()) / np.sqrt(scale), [z @ z.T for z in indicators.values()] + [np.eye(len(y))]
    )
    best, variances = likelihood.maximum()
    drop = stats.f.ppf(level, 1, len(y) - rank) / 2
    result = {}
    for place, name in enumerate(names):
        low, high = likelihood.interval(place, variances, best - drop)
        result[name] = Component(*(float(scale * bound) for bound in (variances[place], low, high)))
    return result


def _indicators(name: str, levels: Sequence[int], runs: int) -> np.ndarray:
    """Return a matrix of 0 and 1 that says which level each run has [run, level]."""
    distinct = sorted(set(levels))
    if len(levels) != runs:
        raise ValueError(f"{name} has {len(levels)} levels for {runs} runs: each run has one.")
    if len(distinct) < 2:
        raise ValueError(f"{name} is {distinct[0]} in every run: a share needs two levels or more.")
    return np.array([[float(one == other) for other in distinct] for one in levels])


class _Restricted:
    """The restricted log-likelihood of standardized values, up to a constant: that of contrasts, which do not depend on the mean.

    Args:
        y: the values [run].
        kernels: the covariance that a unit of each variance adds [variance, run, run]; the last is the residual's.
    """

    # Bounds of the residual's variance and of the others, in units of the values' variance. Within these the
    # Cholesky factor is exact.
    LEAST, MOST = 1e-4, 1e3

    def __init__(self, y: np.ndarray, kernels: Sequence[np.ndarray]):
        contrasts = linalg.helmert(len(y))  # [run - 1, run], orthonormal, each of sum 0
        self.y = contrasts @ y
        self.kernels = np.stack([contrasts @ kernel @ contrasts.T for kernel in kernels])
        self.bounds = [(0.0, self.MOST)] * (len(kernels) - 1) + [(self.LEAST, self.MOST)]

    def negative(self, variances: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the log-likelihood at these variances, and its gradient."""
        factor = linalg.cho_factor(np.tensordot(variances, self.kernels, axes=1), lower=True)
        weighted = linalg.cho_solve(factor, self.y)
        inverse = linalg.cho_solve(factor, np.eye(len(self.y)))
        value = np.log(np.diag(factor[0])).sum() + self.y @ weighted / 2
        gradient = ((inverse * self.kernels).sum(axis=(1, 2)) - weighted @ self.kernels @ weighted) / 2
        return float(value), gradient

    def maximum(
        self, fixed: tuple[int, float] | None = None, start: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return the greatest log-likelihood and its variances, with one of them fixed."""
        variances = np.zeros(len(self.kernels))
        free = np.ones(len(variances), dtype=bool)
        if fixed is not None:
            free[fixed[0]], variances[fixed[0]] = False, fixed[1]

        def loss(some: np.ndarray) -> tuple[float, np.ndarray]:
            variances[free] = some
            value, gradient = self.negative(variances)
            return value, gradient[free]

        begin = np.full(len(variances), 1 / len(variances)) if start is None else np.maximum(start, 1e-3)
        bounds = [bound for bound, one in zip(self.bounds, free, strict=True) if one]
        fit = optimize.minimize(
            loss, begin[free], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12}
        )
        variances[free] = fit.x
        return -float(fit.fun), variances

    def interval(self, place: int, variances: np.ndarray, threshold: float) -> tuple[float, float]:
        """Return the least and the greatest value of a variance whose profile likelihood reaches the threshold."""

        def excess(value: float) -> float:
            return self.maximum((place, value), variances)[0] - threshold

        at, (least, most) = variances[place], self.bounds[place]
        low = 0.0 if excess(least) >= 0 else optimize.brentq(excess, least, at, xtol=1e-4)
        return low, np.inf if excess(most) > 0 else optimize.brentq(excess, at, most, xtol=1e-3)
