"""POPE's metric: a free answer read as yes or no, and how far the model leans to yes."""

from collections.abc import Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.breakdown import Rows, by_tag
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, mean

NO = frozenset(["No", "not", "no"])


def read_yes_no(text: str) -> str:
    """'no' if the first sentence has a word No, not or no, else 'yes', whatever it says.

    As POPE's evaluate.py does it: up to the first full stop, without commas, split at single blanks. So
    'NO', 'no!' and the empty answer are yes.
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if NO & set(words) else "yes"


class YesNo(ExampleMetric):
    r"""Accuracy, precision, recall and F1 of the answer yes, and the share of yes: POPE's official five.

    Source: Li et al. 2023, arXiv:2305.10355, and AoiDragon/POPE's evaluate.py, which stops where no answer is
    yes, and so divides by 0: precision and F1 are 0 then, as recall is without a yes among the labels.
    Values: `accuracy`, `precision`, `recall`, `f1`, `yes_ratio`, and `<name>/<tag>=<value>` for each value seen
    of each tag in `by`. Published tables give one setting each: read those, not the values over all three.

    Args:
        by: tags to break down by.
    """

    def __init__(self, *, by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.by = tuple(by)

    def score(self, prediction: str, example: Example) -> float:
        """1 if the prediction, read as yes or no, is the label, else 0."""
        return float(read_yes_no(prediction) == example.answers[0])

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> str | None:
        """Warn where all labels are the same: precision, recall and F1 say nothing then.

        Raises:
            ValueError: if a label is neither yes nor no.
        """
        labels = {e.answers[0] for e in examples}
        if other := labels - {"yes", "no"}:
            raise ValueError(
                f"label {min(other)!r} must be 'yes' or 'no', since all else would count as no. Correct the benchmark's answers."
            )
        if alone or len(labels) > 1:
            return None
        return f"all {len(examples)} labels are {labels.pop()!r}: precision, recall and F1 say nothing"

    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """The five values, overall and by tag."""
        values = _five(rows)
        for group, own in by_tag(rows, self.by):
            values |= {f"{name}/{group}": value for name, value in _five(own).items()}
        return values


def _five(rows: Rows) -> dict[str, float]:
    said = [read_yes_no(row["prediction"]) == "yes" for row in rows]
    is_yes = [row["answers"][0] == "yes" for row in rows]
    both = sum(s and y for s, y in zip(said, is_yes, strict=True))
    precision = both / sum(said) if any(said) else 0.0
    recall = both / sum(is_yes) if any(is_yes) else 0.0
    return {
        "accuracy": mean([row["score"] for row in rows]),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if both else 0.0,
        "yes_ratio": mean([float(s) for s in said]),
    }
