"""Holm's step-down correction over a family of tests (Holm 1979, Scandinavian Journal of Statistics 6, 65–70).

It bounds the chance of any false rejection in the family by `ALPHA`, whatever the dependence between the tests.
"""

import numpy as np

ALPHA = 0.05


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected over the last axis [..., test]; those below `ALPHA` are rejected."""
    return np.minimum(1, _step_down(p))


def holm_levels(p: np.ndarray) -> np.ndarray:
    r"""Return the level of each test's interval that excludes its bound if and only if Holm's correction rejects it [..., test].

    The level is $1 - \alpha p / p^*$ with p* the corrected p: of m tests, at most Bonferroni's $1 - \alpha / m$.

    Args:
        p: uncorrected two-sided p values [..., test].
    """
    corrected, number = _step_down(p), p.shape[-1]
    factor = np.divide(corrected, p, out=np.full(p.shape, float(number)), where=p > 0)
    return 1 - ALPHA / factor


def _step_down(p: np.ndarray) -> np.ndarray:
    """Return Holm's corrected p values before they are clipped at 1 [..., test]."""
    number = p.shape[-1]
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * (number - np.arange(number))
    corrected = np.empty_like(steps)
    np.put_along_axis(corrected, order, np.maximum.accumulate(steps, axis=-1), axis=-1)
    return corrected
