"""POPE's metric: a free answer parsed as yes or no, and how often the model says yes."""

from collections.abc import Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, Row, by_tag, mean

NO = frozenset(["No", "not", "no"])


def parse_yes_no(text: str) -> str:
    """Return 'no' if the first sentence has a word No, not or no, else 'yes'.

    As in POPE's evaluate.py: the text up to the first full stop, without commas, split at single blanks. So 'NO', 'no!'
    and the empty answer are 'yes'.
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if NO & set(words) else "yes"


class PopeMetric(ExampleMetric):
    r"""Accuracy, precision, recall and F1 of the answer yes, and the share of yes: POPE's five official values.

    Source: Li et al. 2023, arXiv:2305.10355, and AoiDragon/POPE's evaluate.py. That script divides by zero if no answer
    is yes; here precision and F1 are 0 then, and recall is 0 if no label is yes.
    Values: `accuracy`, `precision`, `recall`, `f1`, `yes_ratio`, and `<name>/<tag>=<value>` for each value of each tag
    in `by`. Published tables report each of POPE's settings separately; compare with those, not with the overall values.

    Args:
        by: tags to break down by.
    """

    def __init__(self, *, by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.by = tuple(by)

    def score(self, prediction: str, example: Example) -> float:
        """Return 1 if the parsed prediction equals the label, else 0."""
        return float(parse_yes_no(prediction) == example.answers[0])

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if all labels are equal, which makes precision, recall and F1 meaningless.

        Raises:
            ValueError: if a label is neither yes nor no.
        """
        labels = {e.answers[0] for e in examples}
        if other := labels - {"yes", "no"}:
            raise ValueError(
                f"label {min(other)!r} must be 'yes' or 'no', since anything else would count as no. Correct the "
                "benchmark's answers."
            )
        if scores_only or len(labels) > 1:
            return None
        return f"all {len(examples)} labels are {labels.pop()!r}: precision, recall and F1 say nothing"

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return the five values, overall and by tag."""
        values = _values(rows)
        for group, members in by_tag(rows, self.by):
            values |= {f"{name}/{group}": value for name, value in _values(members).items()}
        return values


def _values(rows: list[Row]) -> dict[str, float]:
    predicted = [parse_yes_no(row["prediction"]) == "yes" for row in rows]
    labels = [row["answers"][0] == "yes" for row in rows]
    true_positives = sum(p and label for p, label in zip(predicted, labels, strict=True))
    precision = true_positives / sum(predicted) if any(predicted) else 0.0
    recall = true_positives / sum(labels) if any(labels) else 0.0
    return {
        "accuracy": mean([row["score"] for row in rows]),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if true_positives else 0.0,
        "yes_ratio": mean([float(p) for p in predicted]),
    }
