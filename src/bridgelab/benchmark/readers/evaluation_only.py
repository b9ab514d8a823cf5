"""The base class of benchmarks that were published for evaluation only: one split and one kind of example."""

from abc import ABC, abstractmethod
from pathlib import Path

from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.splits import require_test


class EvaluationOnly(ABC):
    """A benchmark whose only split is `test`. A subclass reads its examples and names its metric.

    Args:
        root: the folder that holds the data; with `hub`, the folder that keeps the download.
        name: the benchmark's name in the record.
        prompt: what the language model reads; it must hold the class's `placeholder`, if there is one.
    Raises:
        ValueError: if the prompt lacks its placeholder.
    """

    splits = ("test",)
    kinds: tuple[str, ...] = ("choice",)
    placeholder: str | None = "question"

    def __init__(self, root: str | Path, *, name: str, prompt: str):
        if self.placeholder:
            fill(prompt, self.placeholder, "")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt

    def examples(self, split: str, kind: str | None = None) -> list[Example]:
        """Return all examples in the published order.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, or an annotation is malformed.
        """
        require_test(split, self.name)
        choose(kind or self.kinds[0], self.kinds, "kind")
        return check_examples(self.read(), f"{self.root} ({self.name})")

    @abstractmethod
    def read(self) -> list[Example]:
        """Return all examples in the published order."""

    @abstractmethod
    def metrics(self) -> dict[str, ExampleMetric]:
        """Return the official metric of each kind."""
