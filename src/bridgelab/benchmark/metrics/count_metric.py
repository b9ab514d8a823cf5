"""TallyQA's metric: accuracy of a number, and how far it is off."""

import math
import re

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import Row, by_tag, mean
from bridgelab.benchmark.metrics.vqa_accuracy import NUMBERS

NOT_A_NUMBER = 0  # what such a prediction counts as in the error
NUMBER = re.compile(r"\d{1,9}")


def parse_count(text: str) -> int | None:
    """Return the number that a text is, in digits or as a word up to ten: '3', 'Three' and '3.' -> 3; else None."""
    word = text.strip().rstrip(".").lower()
    word = NUMBERS.get(word, word)
    return int(word) if NUMBER.fullmatch(word) else None


class CountMetric(Accuracy):
    r"""Accuracy, and the root of the mean squared error $\sqrt{\frac1n \sum_i (\hat{c}_i - c_i)^2}$ of predicted counts.

    Source: Acharya et al. 2019, arXiv:1810.12440, section 5; the authors publish no scorer. Their models can only give
    numbers: here a prediction that is no number is wrong, and counts as 0 in the error.
    Values: those of `Accuracy`, `rmse` (in objects, lower is better), `numbers` (the share of predictions that are
    numbers), and both as `<name>/<tag>=<value>` for each value of each tag in `by`.

    Args:
        by: tags to break down by.
    """

    def score(self, prediction: str, example: Example) -> float:
        """Return 1 if the prediction is the right number, else 0."""
        return float(parse_count(prediction) == int(example.answers[0]))

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return accuracy, error and share of numbers, overall and by tag."""
        values = super().summarize(rows) | _errors(rows)
        for group, members in by_tag(rows, self.by):
            values |= {f"{name}/{group}": value for name, value in _errors(members).items()}
        return values


def _errors(rows: list[Row]) -> dict[str, float]:
    counts = [parse_count(row["prediction"]) for row in rows]
    squares = [
        float((NOT_A_NUMBER if count is None else count) - int(row["answers"][0])) ** 2
        for count, row in zip(counts, rows, strict=True)
    ]
    return {
        "rmse": math.sqrt(mean(squares)),
        "numbers": mean([float(count is not None) for count in counts]),
    }
