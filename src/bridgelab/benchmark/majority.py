"""The majority floor: the most frequent training answer of each type of question."""

from collections import Counter, defaultdict
from typing import Any

from bridgelab.benchmark.example import Example


def majority(train: list[Example], test: list[Example], tags: tuple[str, ...] = ("type",)) -> list[str]:
    """Return for each test example the most frequent training answer of its type.

    A type that training lacks gets the most frequent answer overall. Ties go to the alphabetically first answer, so the
    result does not depend on the examples' order. For examples with choices of their own, positions are counted instead
    of texts: the most frequent position among as many choices.

    Args:
        train: where answers are counted.
        test: the examples to answer.
        tags: the tags that make an example's type.
    Raises:
        ValueError: if there is no training example.
    """
    if not train:
        raise ValueError(
            "0 training examples: the majority floor needs at least 1. Give the split trained on."
        )
    by_type: dict[tuple, Counter] = defaultdict(Counter)
    overall: dict[int, Counter] = defaultdict(Counter)  # by number of choices

    def type_of(example: Example) -> tuple:
        return (_num_choices(example), *(example.tags.get(tag) for tag in tags))

    for example in train:
        num_choices = _num_choices(example)
        answer = example.choices.index(example.answers[0]) if num_choices else example.answers[0]
        by_type[type_of(example)][answer] += 1
        overall[num_choices][answer] += 1
    most_frequent = {kind: _most_frequent(counts) for kind, counts in by_type.items()}
    predictions = []
    for example in test:
        num_choices = _num_choices(example)
        fallback = _most_frequent(overall[num_choices]) if overall[num_choices] else 0
        answer = most_frequent.get(type_of(example), fallback)
        predictions.append(example.choices[answer] if num_choices else answer)
    return predictions


def _num_choices(example: Example) -> int:
    """Return how many choices of its own an example has."""
    return len(example.choices) if example.kind == "choice" else 0


def _most_frequent(counts: Counter) -> Any:
    return min(counts, key=lambda answer: (-counts[answer], answer))
