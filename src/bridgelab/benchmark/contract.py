"""What a benchmark class must keep to, checked on one of the user's own before anything is trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from bridgelab.benchmark.example import KINDS, Example, check_examples
from bridgelab.benchmark.metrics.example_metric import ExampleMetric

SEE = "src/bridgelab/benchmark/example.py says what a benchmark offers."
SHOWN = 60  # characters of a value in a message


def check_benchmark(benchmark: Any) -> Any:
    """Return a benchmark if its `name` and `kinds` are as the contract says. Its data are not read.

    Raises:
        ValueError: if one is missing or something else.
    """
    owner = type(benchmark).__name__
    for name in ("name", "splits", "kinds"):
        if name not in dir(benchmark):
            raise ValueError(
                f"{owner} has no {name}: a benchmark has name, splits and kinds. Set it in the class. {SEE}"
            )
    if not isinstance(benchmark.name, str) or not benchmark.name:
        raise ValueError(
            f"{owner}.name={benchmark.name!r}: must be text, the benchmark's name in the record. Set it."
        )
    kinds = benchmark.kinds
    if not isinstance(kinds, tuple | list) or not kinds or not set(kinds) <= set(KINDS):
        raise ValueError(f"{owner}.kinds={kinds!r}: must be a tuple of {', '.join(KINDS)}. Correct it.")
    return benchmark


def read_examples(benchmark: Any, split: str, kind: str) -> list[Example]:
    """Return a benchmark's examples of one kind in a split.

    Raises:
        ValueError: if they are no list of examples of that kind, two have one id, or there are some and the benchmark has no
            metric for them.
    """
    examples, owner = benchmark.examples(split, kind), type(benchmark).__name__
    call = f"{owner}.examples({split!r}, {kind!r})"
    each = examples if isinstance(examples, list) else [examples]
    wrong = [one for one in each if not isinstance(one, Example) or one.kind != kind]
    if wrong:
        raise ValueError(
            f"{call} gives {repr(wrong[0])[:SHOWN]}: must be a list of Example of kind {kind!r}. Correct it. {SEE}"
        )
    if not examples:
        return []
    if not isinstance(metric := benchmark.metrics().get(kind), ExampleMetric):
        raise ValueError(
            f"{owner}.metrics()[{kind!r}] is {metric!r}: must be an ExampleMetric. Give one for each kind. {SEE}"
        )
    return check_examples(examples, call)


def check_tags(tagged: Iterable[tuple[str, Mapping[str, str | int]]], source: str, unit: str = "") -> None:
    """Check that each tag has values of one type: it is one column of the predictions.

    Args:
        tagged: the place and the tags of each example of a split, or of each row of a table.
        source: the benchmark and the split, or the table, for the message.
        unit: what a place names, such as `example `, for the message.
    Raises:
        ValueError: if a tag is text in one place and a number in another.
    """
    first: dict[str, tuple[str, str | int]] = {}
    for place, tags in tagged:
        for name, value in tags.items():
            other_place, other = first.setdefault(name, (place, value))
            if type(value) is not type(other):
                raise ValueError(
                    f"{source}: tag {name} is {value!r} in {unit}{place} and {other!r} in {other_place}, which are of two types, and "
                    "must be of one. Give all as text, or all as whole numbers."
                )
