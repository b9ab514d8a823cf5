"""The base class of benchmarks whose questions lie in published parts, one list of JSON objects for each."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.splits import PublishedSplits

Entry = dict[str, Any]


class PublishedQuestions(ABC):
    """A benchmark of questions in published parts. A subclass reads a part and turns its entries into examples.

    Args:
        root: the folder that holds the data.
        train: the part to train on; for this and the next four see `PublishedSplits`.
        val: the part to search on, or None to hold out a share of train's images.
        test: the part to compare bridges on.
        val_share: share of train's images to hold out if val is None.
        seed: seed of the choice of these images.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
    Raises:
        ValueError: if the prompt lacks its placeholder, or as `PublishedSplits`.
    """

    kinds: tuple[str, ...] = ("answer",)
    needs: str  # what each entry needs, for messages

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        prompt: str,
        train: str | None,
        test: str | None,
        val: str | None = None,
        val_share: float = 0.05,
        seed: int = 0,
    ):
        fill(prompt, "question", "")
        self.root = Path(root).resolve()
        self.published = PublishedSplits(train=train, val=val, test=test, val_share=val_share, seed=seed)
        self.name = name
        self.prompt = prompt

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the published parts make."""
        return self.published.names

    def examples(self, split: str, kind: str | None = None) -> list[Example]:
        """Return all examples of a split in the file's order.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, an entry is malformed, or an image is in two splits.
        """
        part = self.published.part(split)
        kind = choose(kind or self.kinds[0], self.kinds, "kind")
        path, entries = self.read(part)
        examples, images = [], []
        for number, entry in enumerate(entries):
            try:
                images.append(self.image(part, entry))
                examples.append(self.example(f"{part}-{number}", images[-1], entry, kind))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{path}: entry {number} is malformed ({type(error).__name__}: {error}). Each needs {self.needs}. Get the "
                    "file again, or name another part."
                ) from error
        selected = self.published.select(split, images)
        return check_examples(
            [e for e, kept in zip(examples, selected, strict=True) if kept and e is not None], str(path)
        )

    @abstractmethod
    def read(self, part: str) -> tuple[Path, list[Entry]]:
        """Return the file of a part, and its entries."""

    @abstractmethod
    def image(self, part: str, entry: Entry) -> str:
        """Return the absolute path of an entry's image."""

    @abstractmethod
    def example(self, name: str, image: str, entry: Entry, kind: str) -> Example | None:
        """Return an entry's example, or None if it has none of this kind. `name` identifies the entry in its benchmark."""

    @abstractmethod
    def metrics(self) -> dict[str, ExampleMetric]:
        """Return the official metric of each kind."""
