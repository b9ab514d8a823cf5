"""The base class of all metrics: it takes strings and examples, and gathers them over processes."""

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from bridgelab.benchmark.example import Example

Row = dict[str, Any]


class ExampleMetric(Metric, ABC):
    """A torchmetrics Metric over predictions and their examples.

    Its only state is bytes: one line of JSON per example, concatenated over processes, because corpus metrics and
    groups need all strings in one place. An example that a distributed sampler repeats as padding counts once, by id.
    """

    full_state_update = False
    higher_is_better = True
    rows: list[Tensor] | Tensor

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def score(self, prediction: str, example: Example) -> float:
        """Return how right one prediction is, from 0 to 1. The run's predictions keep it for each example."""

    def counts(self, example: Example) -> bool:
        """Return whether an example's own score is one of the accuracy's. Others only help to compute another value."""
        return True

    @abstractmethod
    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return the metric's values from at least one row {id, prediction, answers, tags, score, choices, likelihoods}."""

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Check that the metric is meaningful on these examples, before anything is predicted.

        Args:
            examples: all examples that it will score.
            scores_only: whether only `score` will be used, as in validation. Requirements on the whole set are then skipped.
        Returns:
            A caution for readers of its values, or None.
        Raises:
            ValueError: if the examples are outside of its domain.
        """
        return None

    def update(
        self,
        predictions: Sequence[str],
        examples: Sequence[Example],
        likelihoods: Sequence[Sequence[float] | None] | None = None,
    ) -> None:
        """Add one prediction per example.

        Args:
            predictions: one per example.
            examples: the examples that were predicted.
            likelihoods: for each example the log-probability of each of its choices, or None if it has none.
        Raises:
            ValueError: if their numbers differ.
        """
        likelihoods = [None] * len(examples) if likelihoods is None else likelihoods
        if not len(predictions) == len(examples) == len(likelihoods):
            raise ValueError(
                f"{len(predictions)} predictions and {len(likelihoods)} likelihoods for {len(examples)} examples: give one "
                "for each."
            )
        lines = [
            json.dumps(
                {
                    "id": e.id,
                    "prediction": p,
                    "answers": e.answers,
                    "tags": e.tags,
                    "score": self.score(p, e),
                    "choices": e.choices,
                    "likelihoods": of_choices,
                }
            )
            for p, e, of_choices in zip(predictions, examples, likelihoods, strict=True)
        ]
        if lines:
            encoded = bytearray("".join(line + "\n" for line in lines).encode())
            self.rows.append(torch.frombuffer(encoded, dtype=torch.uint8).to(self.device))  # type: ignore[union-attr]

    def compute(self) -> dict[str, float]:
        """Return all values by name.

        Raises:
            ValueError: if there was no example.
        """
        encoded = bytes(dim_zero_cat(self.rows).cpu().numpy()) if len(self.rows) else b""
        rows = {row["id"]: row for row in map(json.loads, encoded.decode().splitlines())}
        if not rows:
            raise ValueError("0 examples were seen: a metric needs at least 1. Call update before compute.")
        return self.summarize(list(rows.values()))


def by_tag(rows: list[Row], tags: Sequence[str]) -> Iterator[tuple[str, list[Row]]]:
    """Yield '<tag>=<value>' and its rows for each value of each tag. Rows without the tag are left out."""
    for tag in tags:
        groups: dict[str | int, list[Row]] = defaultdict(list)
        for row in rows:
            if tag in row["tags"]:
                groups[row["tags"][tag]].append(row)
        for value in sorted(groups):
            yield f"{tag}={value}", groups[value]


def mean(values: list[float]) -> float:
    """Return the arithmetic mean of at least one value."""
    return sum(values) / len(values)
