"""What all official metrics share: they take strings and examples, and survive several processes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from bridgelab.benchmark.example import Example


class ExampleMetric(Metric, ABC):
    """A torchmetrics Metric over predictions and their examples.

    Its only state is bytes, one JSON line an example, concatenated over processes: captions and groups need
    whole strings in one place. An example that a distributed sampler gave twice (padding) counts once, by id.
    """

    full_state_update = False
    higher_is_better = True
    rows: list[Tensor] | Tensor

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def score(self, prediction: str, example: Example) -> float:
        """How right one prediction is, from 0 to 1: what the run record keeps of each example."""

    @abstractmethod
    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """The metrics' values from rows {id, prediction, answers, tags, score, choices, likelihoods}, at least one."""

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> str | None:
        """Look at whether the metric means something on these examples, before anything is predicted.

        Args:
            examples: all that it will be asked about.
            alone: only `score` will be asked, as in validation, so that what needs all examples at once is passed over.
        Returns:
            What to keep in mind when reading its values; None where there is nothing.
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
        """Take one prediction for each example.

        Args:
            likelihoods: for each example the log-probability of each of its choices, None where it has none.
        Raises:
            ValueError: if there are more of one than of the other.
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
            written = bytearray("".join(line + "\n" for line in lines).encode())
            self.rows.append(torch.frombuffer(written, dtype=torch.uint8).to(self.device))  # type: ignore[union-attr]

    def compute(self) -> dict[str, float]:
        """All values by name.

        Raises:
            ValueError: if there was no example.
        """
        written = bytes(dim_zero_cat(self.rows).cpu().numpy()) if len(self.rows) else b""
        rows = {row["id"]: row for row in map(json.loads, written.decode().splitlines())}
        if not rows:
            raise ValueError("0 examples were seen: a metric needs at least 1. Call update before compute.")
        return self.summarize(list(rows.values()))


def mean(values: list[float]) -> float:
    """The arithmetic mean of at least one value."""
    return sum(values) / len(values)
