r"""Linear probes of features that are wider than they are many: ridge in its dual form, with λ chosen by leaving one out.

With the centred Gram matrix $K = X X^\top$ of the fitting examples, $\hat Y = K (K + \lambda I)^{-1} Y$; the errors when one
is left out are $(y_i - \hat y_i) / (1 - H_{ii})$ with $H = 1/n + K (K + \lambda I)^{-1}$ (Allen 1974,
doi:10.1080/00401706.1974.10489157), the mean being fitted anew with each.
"""

import numpy as np

# Of the Gram matrix's mean eigenvalue.
LAMBDAS = tuple(10.0**k for k in range(-5, 4))


class Probe:
    """Ridge on examples of which the inner products are known; each set of targets gets a λ of its own.

    Args:
        fit: inner products of the fitting examples' features [fit, fit].
    Raises:
        ValueError: if there are fewer than two fitting examples.
    """

    def __init__(self, fit: np.ndarray):
        if len(fit) < 2:
            raise ValueError(
                f"{len(fit)} examples to fit a probe on: at least 2 are needed. Give more images."
            )
        self.mean = fit.mean(0)
        centred = fit - self.mean[:, None] - self.mean + self.mean.mean()
        values, self.vectors = np.linalg.eigh(centred)
        self.values = values.clip(min=0)
        self.lambdas = [each * max(float(self.values.mean()), 1e-12) for each in LAMBDAS]

    def error(self, targets: np.ndarray) -> float:
        """The mean squared error when one example is left out, at the best λ."""
        return min(self._errors(targets))

    def predict(self, targets: np.ndarray, new: np.ndarray) -> np.ndarray:
        """What the probe says of new examples.

        Args:
            targets: of the fitting examples [fit, target].
            new: inner products of new examples with the fitting ones [new, fit].
        Returns:
            [new, target].
        """
        about = targets.mean(0)
        moment = self.vectors.T @ (targets - about)
        chosen = self.lambdas[int(np.argmin(self._errors(targets)))]
        apart = new - new.mean(1, keepdims=True) - self.mean + self.mean.mean()
        return about + apart @ (self.vectors @ (moment / (self.values + chosen)[:, None]))

    def _errors(self, targets: np.ndarray) -> list[float]:
        about = targets.mean(0)
        moment = self.vectors.T @ (targets - about)
        return [float((self._left_out(targets - about, moment, each) ** 2).mean()) for each in self.lambdas]

    def _left_out(self, targets: np.ndarray, moment: np.ndarray, by: float) -> np.ndarray:
        """The error for each fitting example of the probe that is fitted on the others [fit, target]."""
        shrunk = self.values / (self.values + by)
        leverage = 1 / len(targets) + self.vectors**2 @ shrunk
        return (targets - self.vectors @ (shrunk[:, None] * moment)) / (1 - leverage).clip(1e-9)[:, None]


def gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner products [left, right] in float64, of features of any number of axes behind the first."""
    return (left.reshape(len(left), -1) @ right.reshape(len(right), -1).T).astype(np.float64)
