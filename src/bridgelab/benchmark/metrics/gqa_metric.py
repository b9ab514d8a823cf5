r"""GQA's official metrics, as its `eval.py` computes them, from 0 to 1 where that prints per cent.

Source: Hudson and Manning 2019, arXiv:1902.09506, section 4.4, and the `eval.py` of GQA's own download.
`distribution`, lower being better, compares answers over the questions of each global group g. With $e_a$ of them
truly answered a, $o_a$ predicted to be, and $n_g$ in all,

$\chi^2 = \sum_g n_g \sum_a (o_a - e_a)^2 / e_a \; / \; \sum_g n_g, \qquad \mathrm{distribution} = \chi^2 / 100$

where a goes over the true answers alone. Grounding is left out: it scores attention maps, which few bridges have.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.breakdown import Rows, by_tag
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, mean

# What a breakdown is called, and the tag that holds its values.
BREAKDOWNS = {
    "structural": "type",
    "semantic": "family",
    "detailed": "detailed",
    "steps": "steps",
    "words": "question_words",
}
COMMON = ("color", "material", "shape")  # what any two things may have in common


class GqaMetric(ExampleMetric):
    """Accuracy of balanced questions, and all else that GQA's own code prints of them.

    An example has the tags `balanced` (1 or 0), `type` (structural), `family` (semantic), `detailed`, `steps`,
    `question_words`, and where there are any `global_group` and `entailed`, the ids of other questions that its answer
    decides, joined by blanks. Values: `accuracy`, `binary`, `open`, `accuracy/<breakdown>=<value>`; `distribution` where a
    question has a group; `consistency` where all entailed questions are asked too (the `all` files), since the
    official code stops without them; `validity` and `plausibility` where choices are given.

    Args:
        choices: question id -> {valid: [answer], plausible: [answer]}, as in GQA's choices files.
    """

    def __init__(self, *, choices: Mapping[str, Mapping[str, Sequence[str]]] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.choices = choices

    def score(self, prediction: str, example: Example) -> float:
        """1 if the prediction is the answer, to the letter, else 0."""
        return float(prediction == example.answers[0])

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> None:
        """Do nothing if there is a balanced question, and all of these have their choices, if any has.

        Raises:
            ValueError: if not.
        """
        if not alone:
            for row in _balanced([{"id": e.id, "tags": e.tags, "prediction": ""} for e in examples]):
                if self.choices is not None:
                    self._among(row, "valid")

    def summarize(self, rows: Rows) -> dict[str, float]:
        """All values.

        Raises:
            ValueError: if no question is balanced, or one lacks its choices.
        """
        asked = _balanced(rows)
        is_open = [row["tags"]["type"] == "query" for row in asked]
        values = {
            "accuracy": mean(_scores(asked)),
            "binary": _mean_or_0([row["score"] for row, o in zip(asked, is_open, strict=True) if not o]),
            "open": _mean_or_0([row["score"] for row, o in zip(asked, is_open, strict=True) if o]),
        }
        by_id = {row["id"]: row for row in rows}
        entailed = {row["id"]: str(row["tags"].get("entailed", "")).split() for row in asked}
        if all(other in by_id for others in entailed.values() for other in others):
            right = [entailed[row["id"]] for row in asked if row["score"] and entailed[row["id"]]]
            values["consistency"] = _mean_or_0(
                [mean(_scores([by_id[other] for other in others])) for others in right]
            )
        if self.choices is not None:
            for name, kind in (("validity", "valid"), ("plausibility", "plausible")):
                values[name] = mean([float(self._among(row, kind)) for row in asked])
        values |= _distribution(asked)
        for name, tag in BREAKDOWNS.items():
            for group, own in by_tag(asked, (tag,)):
                values[f"accuracy/{name}={group.removeprefix(f'{tag}=')}"] = mean(_scores(own))
        return values

    def _among(self, row: dict[str, Any], kind: str) -> bool:
        """Whether the prediction is among the question's choices of one kind."""
        if "Common" in row["tags"]["detailed"]:
            return row["prediction"] in COMMON
        if self.choices is None or row["id"] not in self.choices:
            raise ValueError(
                f"question {row['id']} is not among the {len(self.choices or ())} of the choices file: both must be of one "
                "release. Get eval/<tier>_choices.json again, or take it away."
            )
        return row["prediction"] in self.choices[row["id"]][kind]


def _balanced(rows: Rows) -> Rows:
    """The rows of balanced questions, of which there must be one."""
    asked = [row for row in rows if row["tags"]["balanced"]]
    if not asked:
        raise ValueError(
            f"0 of {len(rows)} questions are balanced: GQA's accuracy is that of balanced ones. Evaluate more, or set "
            "benchmark.test to a balanced file."
        )
    return asked


def _scores(rows: Rows) -> list[float]:
    return [row["score"] for row in rows]


def _mean_or_0(scores: list[float]) -> float:
    """As the official code has it: 0 of nothing."""
    return mean(scores) if scores else 0.0


def _distribution(asked: Rows) -> dict[str, float]:
    true: dict[str, Counter[str]] = defaultdict(Counter)
    predicted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in asked:
        if group := row["tags"].get("global_group"):
            true[group][row["answers"][0]] += 1
            predicted[group][row["prediction"]] += 1
    if not true:
        return {}
    weighted = sum(
        expected.total() * sum((predicted[group][a] - e) ** 2 / e for a, e in expected.items())
        for group, expected in true.items()
    )
    return {"distribution": weighted / sum(expected.total() for expected in true.values()) / 100}
