"""Exact-match accuracy, overall and by tag."""

from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, Row, by_tag, mean


class Accuracy(ExampleMetric):
    """Share of predictions equal to an accepted answer: CLEVR's official metric (arXiv:1612.06890).

    Strings are compared without surrounding blanks; case, articles and punctuation count. White space within counts as one
    blank, since a T5 writes no other. Choices are compared as they are.
    Values: `accuracy`, and `accuracy/<tag>=<value>` for each value of each tag in `by`.

    Args:
        by: tags to break down by; an example without the tag is left out of that breakdown only.
    """

    def __init__(self, *, by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.by = tuple(by)

    def score(self, prediction: str, example: Example) -> float:
        """Return 1 if the prediction is an accepted answer, else 0."""
        if example.choices:
            return float(prediction.strip() in {answer.strip() for answer in example.answers})
        return float(prediction.split() in [answer.split() for answer in example.answers])

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return the mean score, overall and by tag."""
        values = {"accuracy": mean([row["score"] for row in rows])}
        for group, members in by_tag(rows, self.by):
            values[f"accuracy/{group}"] = mean([row["score"] for row in members])
        return values
