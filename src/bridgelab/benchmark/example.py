"""One example of any benchmark: what the model is given, what is right, what the analysis breaks down by.

A benchmark is a class with `name`, `splits`, `kinds`, `examples(split, kind) -> list[Example]` and
`metrics() -> dict[kind, ExampleMetric]`. One file here and one yaml in `conf/benchmark/`: nothing lists it.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

KINDS = ("answer", "caption", "true_false", "choice")
TRUE_FALSE = ("true", "false")


@dataclass(frozen=True)
class Example:
    """One example.

    Args:
        id: unique in its benchmark and split.
        images: absolute paths of image files.
        prompt: what the language model reads after the visual tokens.
        answers: accepted answers, the first of which is the training target; for captions, all references.
        kind: one of `KINDS`.
        tags: what the analysis breaks down by, such as type, family, program_length, hops, objects.
        words: the scene in words, phrases joined by " . "; None where the scene is not annotated.
        choices: what a "choice" example is decided among, by which is likeliest; of a "true_false" one `TRUE_FALSE`,
            whatever is given.
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
        for key, value in self.tags.items():
            if isinstance(value, bool) or not isinstance(value, str | int):
                self._refuse(
                    f"tags[{key!r}]", value, "must be str or int, since each tag is a column of the record"
                )

    def _refuse(self, name: str, value: object, rule: str) -> NoReturn:
        raise ValueError(f"example {self.id}: {name}={value!r} {rule}.")


@runtime_checkable
class Benchmark(Protocol):
    """What a class needs for a config to name it as a benchmark; its attributes are `name`, `splits` and `kinds`."""

    def examples(self, split: str, kind: str) -> list[Example]:
        """All examples of one kind in a split."""
        ...

    def metrics(self) -> dict[str, Any]:
        """An `ExampleMetric` for each kind."""
        ...


def check_examples(examples: list[Example], source: str) -> list[Example]:
    """Return the examples if there are any and their ids are unique; whether their images are there is looked at with the images.

    Args:
        examples: all examples of one split and kind.
        source: the annotation file they come from, for the message.
    Raises:
        ValueError: if there are none, or an id stands twice.
    """
    if not examples:
        raise ValueError(f"{source} holds 0 examples: at least 1 is needed. Check that the file is whole.")
    name, times = Counter(e.id for e in examples).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{source}: id {name!r} stands {times} times, and must be unique. Check that the file is whole."
        )
    return examples


def require(path: Path, layout: str, fix: str) -> Path:
    """Return the path if it is there.

    Raises:
        FileNotFoundError: if not, with the layout that was expected and what to do.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Expected layout: {layout}. {fix}")
    return path


def under(root: str | Path, *names: object) -> str:
    """The path of a file that an annotation names, under the root.

    Raises:
        ValueError: if the name leads out of the root.
    """
    path = "/".join(str(name) for name in names)
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(
            f"{path!r} leads out of {root}: an annotation may name files under it alone. Correct the annotation."
        )
    return f"{root}/{path}"  # a Path each costs seconds


def choose(value: str, choices: Iterable[str], what: str) -> str:
    """Return the value if it is among the choices.

    Raises:
        ValueError: if not, with the choices.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{what}={value!r}: must be one of {', '.join(choices)}.")
    return value


def fill(template: str, placeholder: str, text: str) -> str:
    """Put the text in the place of `{placeholder}`; the text itself may hold braces.

    Raises:
        ValueError: if the template does not hold the placeholder.
    """
    mark = "{" + placeholder + "}"
    if mark not in template:
        raise ValueError(
            f"prompt={template!r} must hold {mark}. Write it where the example's own text belongs."
        )
    return template.replace(mark, text)
