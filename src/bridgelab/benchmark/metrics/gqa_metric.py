r"""GQA's official metrics, as its `eval.py` computes them, from 0 to 1 instead of per cent.

Source: Hudson and Manning 2019, arXiv:1902.09506, section 4.4, and the `eval.py` of GQA's download.
`distribution` (lower is better) compares the distributions of answers within each global group g. With $e_a$ questions
of the group whose answer is a, $o_a$ for which a is predicted, and $n_g$ questions in all,

$\chi^2 = \sum_g n_g \sum_a (o_a - e_a)^2 / e_a \; / \; \sum_g n_g, \qquad \mathrm{distribution} = \chi^2 / 100$

where a runs over the true answers only. Grounding is left out: it scores attention maps, which few bridges have.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, Row, by_tag, mean

BREAKDOWNS = {  # name in GQA's report -> tag
    "structural": "type",
    "semantic": "family",
    "detailed": "detailed",
    "steps": "steps",
    "words": "question_words",
}
COMMON = ("color", "material", "shape")  # the answers to what two things have in common


class GqaMetric(ExampleMetric):
    """Accuracy over balanced questions, and the other values that GQA's own code prints.

    An example has the tags `balanced` (1 or 0), `type` (structural), `family` (semantic), `detailed`, `steps` and
    `question_words`. It may have `global_group`, and `entailed`: the ids of the questions whose answers follow from its
    own, separated by blanks.
    Values: `accuracy`, `binary`, `open`, `accuracy/<breakdown>=<value>`; `distribution` if a question has a group;
    `consistency` if all entailed questions are among the examples (the `all` files), since the official code stops
    without them; `validity` and `plausibility` if there are choices.

    Args:
        choices: question id -> {valid: [answer], plausible: [answer]}, as in GQA's choices files.
    """

    def __init__(self, *, choices: Mapping[str, Mapping[str, Sequence[str]]] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.choices = choices

    def score(self, prediction: str, example: Example) -> float:
        """Return 1 if the prediction equals the answer character for character, else 0."""
        return float(prediction == example.answers[0])

    def counts(self, example: Example) -> bool:
        """Return whether a question is balanced. The others are there for `consistency`."""
        return bool(example.tags["balanced"])

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> None:
        """Check that there is a balanced question, and that the choices, if given, cover all balanced questions.

        Raises:
            ValueError: if not.
        """
        for row in _balanced([{"id": e.id, "tags": e.tags, "prediction": ""} for e in examples]):
            if self.choices is not None and not scores_only:
                self._is_among(row, "valid")

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return all values.

        Raises:
            ValueError: if no question is balanced, or one lacks its choices.
        """
        balanced = _balanced(rows)
        is_open = [row["tags"]["type"] == "query" for row in balanced]
        values = {
            "accuracy": mean(_scores(balanced)),
            "binary": _mean_or_0([row["score"] for row, o in zip(balanced, is_open, strict=True) if not o]),
            "open": _mean_or_0([row["score"] for row, o in zip(balanced, is_open, strict=True) if o]),
        }
        values |= _consistency(rows, balanced)
        if self.choices is not None:
            for name, kind in (("validity", "valid"), ("plausibility", "plausible")):
                values[name] = mean([float(self._is_among(row, kind)) for row in balanced])
        values |= _distribution(balanced)
        for name, tag in BREAKDOWNS.items():
            for group, members in by_tag(balanced, (tag,)):
                values[f"accuracy/{name}={group.removeprefix(f'{tag}=')}"] = mean(_scores(members))
        return values

    def _is_among(self, row: Row, kind: str) -> bool:
        """Return whether the prediction is among the question's choices of one kind."""
        if "Common" in row["tags"]["detailed"]:
            return row["prediction"] in COMMON
        if self.choices is None or row["id"] not in self.choices:
            raise ValueError(
                f"question {row['id']} is not among the {len(self.choices or ())} of the choices file: both must be of one "
                "release. Get eval/<tier>_choices.json again, or remove it."
            )
        return row["prediction"] in self.choices[row["id"]][kind]


def _balanced(rows: list[Row]) -> list[Row]:
    """Return the rows of balanced questions; raise if there is none."""
    balanced = [row for row in rows if row["tags"]["balanced"]]
    if not balanced:
        raise ValueError(
            f"0 of {len(rows)} questions are balanced: GQA's accuracy is that of balanced ones. Use more, or set "
            "benchmark.val or benchmark.test to a balanced file."
        )
    return balanced


def _scores(rows: list[Row]) -> list[float]:
    return [row["score"] for row in rows]


def _mean_or_0(scores: list[float]) -> float:
    """Return the mean, or 0 of an empty list, as the official code does."""
    return mean(scores) if scores else 0.0


def _consistency(rows: list[Row], balanced: list[Row]) -> dict[str, float]:
    """Return the mean score of the entailed questions of each balanced question answered right."""
    by_id = {row["id"]: row for row in rows}
    entailed = {row["id"]: str(row["tags"].get("entailed", "")).split() for row in balanced}
    if not all(other in by_id for others in entailed.values() for other in others):
        return {}
    right = [entailed[row["id"]] for row in balanced if row["score"] and entailed[row["id"]]]
    return {
        "consistency": _mean_or_0([mean(_scores([by_id[other] for other in others])) for others in right])
    }


def _distribution(balanced: list[Row]) -> dict[str, float]:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    predictions: dict[str, Counter[str]] = defaultdict(Counter)
    for row in balanced:
        if group := row["tags"].get("global_group"):
            answers[group][row["answers"][0]] += 1
            predictions[group][row["prediction"]] += 1
    if not answers:
        return {}
    weighted = sum(
        expected.total() * sum((predictions[group][a] - e) ** 2 / e for a, e in expected.items())
        for group, expected in answers.items()
    )
    return {"distribution": weighted / sum(expected.total() for expected in answers.values()) / 100}
