r"""Ridge regression in its dual form, for features with more dimensions than examples; λ is chosen by leave-one-out.

With the centred Gram matrix $K = X X^\top$ of the fitting examples, $\hat Y = K (K + \lambda I)^{-1} Y$. Leave-one-out errors are
$(y_i - \hat y_i) / (1 - H_{ii})$ with $H = 1/n + K (K + \lambda I)^{-1}$ (PRESS; Allen 1974, doi:10.1080/00401706.1974.10489157),
the mean being fitted again each time.
"""

import numpy as np

LAMBDAS = tuple(10.0**k for k in range(-5, 4))  # as multiples of the Gram matrix's mean eigenvalue


class RidgeProbe:
    """Ridge regression on examples whose inner products are known; each set of targets gets its own λ.

    Args:
        inner_products: of the fitting examples' features [fit, fit].
    Raises:
        ValueError: if there are fewer than two fitting examples.
    """

    def __init__(self, inner_products: np.ndarray):
        if len(inner_products) < 2:
            raise ValueError(
                f"{len(inner_products)} examples to fit a probe on: at least 2 are needed. Give more images."
            )
        self.mean = inner_products.mean(0)
        centred = inner_products - self.mean[:, None] - self.mean + self.mean.mean()
        eigenvalues, self.eigenvectors = np.linalg.eigh(centred)
        self.eigenvalues = eigenvalues.clip(min=0)
        self.lambdas = [factor * max(float(self.eigenvalues.mean()), 1e-12) for factor in LAMBDAS]

    def error(self, targets: np.ndarray) -> float:
        """Return the mean squared leave-one-out error at the best λ.

        Args:
            targets: of the fitting examples [fit, target].
        """
        return min(self._errors(targets))

    def predict(self, targets: np.ndarray, inner_products: np.ndarray) -> np.ndarray:
        """Return predictions for new examples, at the best λ [new, target].

        Args:
            targets: of the fitting examples [fit, target].
            inner_products: of new examples with the fitting ones [new, fit].
        """
        mean = targets.mean(0)
        projected = self.eigenvectors.T @ (targets - mean)
        best = self.lambdas[int(np.argmin(self._errors(targets)))]
        centred = inner_products - inner_products.mean(1, keepdims=True) - self.mean + self.mean.mean()
        return mean + centred @ (self.eigenvectors @ (projected / (self.eigenvalues + best)[:, None]))

    def _errors(self, targets: np.ndarray) -> list[float]:
        """Return the mean squared leave-one-out error at each λ."""
        centred = targets - targets.mean(0)
        projected = self.eigenvectors.T @ centred
        return [float((self._residuals(centred, projected, one) ** 2).mean()) for one in self.lambdas]

    def _residuals(self, targets: np.ndarray, projected: np.ndarray, ridge: float) -> np.ndarray:
        """Return each fitting example's residual under the probe fitted on the others [fit, target]."""
        shrinkage = self.eigenvalues / (self.eigenvalues + ridge)
        leverage = 1 / len(targets) + self.eigenvectors**2 @ shrinkage
        fitted = self.eigenvectors @ (shrinkage[:, None] * projected)
        return (targets - fitted) / (1 - leverage).clip(1e-9)[:, None]


def gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return inner products [left, right] in float64, of features with any number of axes after the first."""
    return (left.reshape(len(left), -1) @ right.reshape(len(right), -1).T).astype(np.float64)
