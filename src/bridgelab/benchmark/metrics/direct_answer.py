"""A-OKVQA's metric of direct answers."""

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy

ENOUGH = 3  # equal answers of people for a full score


class DirectAnswer(Accuracy):
    r"""The mean of $\min(1, m / 3)$, where $m$ of the people's answers equal the prediction.

    Strings are compared without surrounding blanks, otherwise exactly; no answer is left out.
    Source: Schwenk et al. 2022, arXiv:2206.01718, and allenai/aokvqa's evaluation/eval_predictions.py (42e8c44ff40d).
    Values: those of `Accuracy`, from 0 to 1 instead of per cent.
    """

    def score(self, prediction: str, example: Example) -> float:
        """Return the prediction's score."""
        matches = [answer.strip() for answer in example.answers].count(prediction.strip())
        return min(1.0, matches / ENOUGH)
