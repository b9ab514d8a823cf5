"""One example of any benchmark: the image, the prompt, the accepted answers, and tags to break results down by.

A benchmark is a class with `name`, `splits`, `kinds`, `examples(split, kind) -> list[Example]` and
`metrics() -> dict[kind, ExampleMetric]`. It takes one file here and one yaml in `conf/benchmark/`; there is no registry.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, runtime_checkable

KINDS = ("answer", "caption", "true_false", "choice")
TRUE_FALSE = ("true", "false")


def fits_column(number: int) -> bool:
    """Return whether a whole number fits a column of the record's answers, which has 64 bits."""
    return -(2**63) <= number < 2**63


@dataclass(frozen=True)
class Example:
    """One example.

    Args:
        id: unique within its benchmark and split.
        images: absolute paths of image files.
        prompt: what the language model reads after the visual tokens.
        answers: accepted answers, of which the first is the training target; for captions, all references.
        kind: one of `KINDS`.
        tags: what results are broken down by, such as type, family, program_length, hops, objects.
        words: the scene in words, phrases joined by " . "; None if the scene is not annotated.
        choices: for "choice", the options of which the likeliest is the prediction; for "true_false" always
            `TRUE_FALSE`, whatever is passed; empty for other kinds.
    Raises:
        ValueError: if a field breaks its rule.
    """

    id: str
    images: tuple[str, ...]
    prompt: str
    answers: tuple[str, ...]
    kind: str
    tags: dict[str, str | int] = field(default_factory=dict)
    words: str | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "true_false":
            object.__setattr__(self, "choices", TRUE_FALSE)
        self._check_fields()
        self._check_choices()

    def _check_fields(self) -> None:
        if not self.id:
            raise ValueError(
                f"id={self.id!r}: an example needs a name of its own. Number the examples of a split."
            )
        if not self.images or not all(isinstance(p, str) and os.path.isabs(p) for p in self.images):
            self._refuse(
                "images", self.images, "must be absolute paths, at least one. Resolve the root first"
            )
        if not self.prompt.strip():
            self._refuse("prompt", self.prompt, "must hold text. Check the benchmark's prompt field")
        if not self.answers or not all(isinstance(a, str) and a.strip() for a in self.answers):
            self._refuse(
                "answers", self.answers, "must be strings with text, at least one. Check the annotation"
            )
        if self.kind not in KINDS:
            self._refuse("kind", self.kind, f"must be one of {', '.join(KINDS)}")
        for key, value in self.tags.items():
            if isinstance(value, bool) or not isinstance(value, str | int):
                self._refuse(
                    f"tags[{key!r}]", value, "must be str or int, since each tag is a column of the record"
                )
            if isinstance(value, int) and not fits_column(value):
                self._refuse(
                    f"tags[{key!r}]", value, "must be of 64 bits, as the record holds it. Write it as text"
                )

    def _check_choices(self) -> None:
        if self.kind == "true_false" and not set(self.answers) <= set(TRUE_FALSE):
            self._refuse(
                "answers", self.answers, f"must be of {', '.join(TRUE_FALSE)} where kind is 'true_false'"
            )
        if self.kind == "choice" and (
            len(set(self.choices)) < 2 or len(set(self.choices)) < len(self.choices)
        ):
            self._refuse("choices", self.choices, "must be at least two that differ where kind is 'choice'")
        if self.kind == "choice" and not set(self.answers) <= set(self.choices):
            self._refuse("answers", self.answers, f"must be among its choices {self.choices}")
        if self.choices and self.kind not in ("choice", "true_false"):
            self._refuse("choices", self.choices, "must be empty unless kind is 'choice'. Set kind")

    def _refuse(self, name: str, value: object, rule: str) -> NoReturn:
        raise ValueError(f"example {self.id}: {name}={value!r} {rule}.")


@runtime_checkable
class Benchmark(Protocol):
    """What a class must offer for a config to name it as a benchmark, beside `name`, `splits` and `kinds`."""

    def examples(self, split: str, kind: str) -> list[Example]:
        """Return all examples of one kind in a split."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Return an `ExampleMetric` for each kind."""
        ...


def check_examples(examples: list[Example], source: str) -> list[Example]:
    """Return the examples if there is at least one and their ids are unique. Whether their images exist is not checked.

    Args:
        examples: all examples of one split and kind.
        source: the annotation file that they come from, for the message.
    Raises:
        ValueError: if there is none, or an id is repeated.
    """
    if not examples:
        raise ValueError(f"{source} holds 0 examples: at least 1 is needed. Check that the file is complete.")
    name, times = Counter(e.id for e in examples).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{source}: id {name!r} occurs {times} times, and must be unique. Check that the file is complete."
        )
    return examples


def choose(value: str, choices: Iterable[str], name: str) -> str:
    """Return the value if it is among the choices.

    Raises:
        ValueError: if not, naming the choices.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}.")
    return value


def fill(template: str, placeholder: str, text: str) -> str:
    """Replace `{placeholder}` in a prompt by the text, which may hold braces itself.

    Raises:
        ValueError: if the template lacks the placeholder.
    """
    mark = "{" + placeholder + "}"
    if mark not in template:
        raise ValueError(
            f"prompt={template!r} must hold {mark}. Write it where the example's own text belongs."
        )
    return template.replace(mark, text)
