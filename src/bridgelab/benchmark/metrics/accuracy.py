"""Exact-match accuracy, overall and by tag, and the floor that every accuracy stands on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.breakdown import by_tag
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, mean


class Accuracy(ExampleMetric):
    """Share of predictions equal to an accepted answer: CLEVR's official metric (arXiv:1612.06890).

    Equal means the same string once blanks at both ends are gone; case, articles and punctuation count.
    Values: `accuracy`, and `accuracy/<tag>=<value>` for each value seen of each tag in `by`.

    Args:
        by: tags to break down by; an example without the tag is left out of that breakdown alone.
    """

    def __init__(self, *, by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.by = tuple(by)

    def score(self, prediction: str, example: Example) -> float:
        """1 if the prediction is an accepted answer, else 0."""
        return float(prediction.strip() in {answer.strip() for answer in example.answers})

    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """The shares of scores, overall and by tag."""
        values = {"accuracy": mean([row["score"] for row in rows])}
        for group, own in by_tag(rows, self.by):
            values[f"accuracy/{group}"] = mean([row["score"] for row in own])
        return values


class Consistency(Accuracy):
    """Accuracy, and the share of groups in which every prediction is right: NLVR's official pair of metrics.

    Source: Suhr et al. 2017, "A Corpus of Natural Language for Visual Reasoning", and lil-lab/nlvr's scorer.
    Values: those of `Accuracy`, and `consistency`.

    Args:
        group: the tag whose value an example shares with the others of its group.
    """

    def __init__(self, *, group: str = "group", by: tuple[str, ...] = (), **kwargs: Any):
        super().__init__(by=by, **kwargs)
        self.group = group

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> str | None:
        """Warn where every group is a single example, since consistency is accuracy then.

        Raises:
            ValueError: if an example has no group.
        """
        groups = self._groups((e.id, e.tags, 0.0) for e in examples)
        if alone or any(len(scores) > 1 for scores in groups.values()):
            return None
        return f"each of {len(groups)} groups is a single example: their consistency is their accuracy, and not comparable"

    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """Accuracy and consistency.

        Raises:
            ValueError: if an example has no group.
        """
        groups = self._groups((row["id"], row["tags"], row["score"]) for row in rows)
        return super().summarize(rows) | {"consistency": mean([min(scores) for scores in groups.values()])}

    def _groups(
        self, rows: Iterable[tuple[str, Mapping[str, str | int], float]]
    ) -> dict[str | int, list[float]]:
        """Of each group its scores, from rows of id, tags and score."""
        groups: dict[str | int, list[float]] = defaultdict(list)
        for name, tags, score in rows:
            if self.group not in tags:
                raise ValueError(
                    f"example {name} has the tags {sorted(tags)}: consistency needs {self.group!r}. Give the benchmark's "
                    "examples that tag."
                )
            groups[tags[self.group]].append(score)
        return groups


def majority(train: list[Example], test: list[Example], tags: tuple[str, ...] = ("type",)) -> list[str]:
    """The majority floor: for each test example the most frequent training answer of its type (tag `type`).

    A type unseen in training gets the most frequent answer of all. Of equally frequent answers it is the
    alphabetically first, so that the floor does not depend on order. Where an example chooses among options of its own, it is
    the option in the most frequent place among as many options.

    Args:
        train: where answers are counted.
        test: what is answered.
        tags: which of an example's tags make its type.
    Raises:
        ValueError: if there is no training example.
    """
    if not train:
        raise ValueError(
            "0 training examples: the majority floor needs at least 1. Give the split trained on."
        )
    by_type: dict[tuple, Counter] = defaultdict(Counter)
    of_all: dict[int, Counter] = defaultdict(Counter)

    def type_of(example: Example) -> tuple:
        return (_options(example), *(example.tags.get(tag) for tag in tags))

    for example in train:
        answer = example.choices.index(example.answers[0]) if _options(example) else example.answers[0]
        by_type[type_of(example)][answer] += 1
        of_all[_options(example)][answer] += 1
    likeliest = {kind: _most_frequent(counts) for kind, counts in by_type.items()}
    found = []
    for example in test:
        options = _options(example)
        answer = likeliest.get(type_of(example), _most_frequent(of_all[options]) if of_all[options] else 0)
        found.append(example.choices[answer] if options else answer)
    return found


def _options(example: Example) -> int:
    """How many options of its own an example has."""
    return len(example.choices) if example.kind == "choice" else 0


def _most_frequent(counts: Counter) -> Any:
    return min(counts, key=lambda answer: (-counts[answer], answer))
