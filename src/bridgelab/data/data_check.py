"""What a benchmark's data hold and what is wrong with them, before anything is trained."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from bridgelab.benchmark.contract import check_tags, read_examples
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.majority import majority
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.own_rows import MalformedRows
from bridgelab.benchmark.too_few import FEWEST, too_few
from bridgelab.data.image_files import file_hash, missing, read_image, try_each
from bridgelab.runs.predictions import clusters

SPLITS = ("train", "val", "test")
LISTED = 3  # examples of a problem
DARK = 15  # the greatest value of a pixel in an image of 12 bits that is stored in 16
NO_COPIES = "Remove the copies, or give their rows one group."
ALL = "all"  # of the questions, where they have no types
MOST_VALUES = 20  # of a tag, each of which is a row of the report


class Image(NamedTuple):
    """Height and width in pixels, the hash of an image's file, and the greatest value of a pixel as a bridge sees it."""

    height: int
    width: int
    hash: str
    brightest: int


@dataclass(frozen=True)
class SplitKind:
    """Examples of one kind in one split.

    Args:
        split, kind: which.
        examples: how many.
        images: how many different ones they show.
        answers: the number of times of each first answer, most frequent first.
        words: the least, the median and the greatest number of words of a prompt.
        tags: for each tag the number of examples with each value.
        clusters: for each type, or for `all` if there are none, how many images or groups the statistics count.
        floor: the score of the most frequent training answer of each type; None without a train split, and for captions.
    """

    split: str
    kind: str
    examples: int
    images: int
    answers: Mapping[str, int]
    words: tuple[int, float, int]
    tags: Mapping[str, Mapping[str, int]]
    clusters: Mapping[str, int]
    floor: float | None


@dataclass(frozen=True)
class DataCheck:
    """What was found.

    Args:
        name: of the benchmark.
        parts: by split and kind.
        sizes: the number of images of each (height, width), most frequent first.
        problems: what keeps a run from starting, or makes its result wrong, each in one line with the fix.
        remarks: what is not wrong, but may not be meant.
        examples: all of them, by split and kind.
    """

    name: str
    parts: tuple[SplitKind, ...]
    sizes: Mapping[tuple[int, int], int]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    examples: Mapping[tuple[str, str], Sequence[Example]] = field(repr=False)


def check_data(benchmark: Any) -> DataCheck:
    """Read all splits of a benchmark and all of their images.

    Raises:
        FileNotFoundError: if a file of the benchmark is missing.
        ValueError: if its annotations are malformed, unless single rows of a table are, which are problems.
    """
    try:
        examples = {
            (split, kind): found
            for split in SPLITS
            if split in benchmark.splits
            for kind in benchmark.kinds
            if (found := read_examples(benchmark, split, kind))
        }
    except MalformedRows as error:
        images, problems = _look(path for row in error.rows for path in row.images)
        return DataCheck(benchmark.name, (), _sizes(images), (*error.problems, *problems), (), {})
    images, problems = _look(path for own in examples.values() for e in own for path in e.images)
    leaks = list(_leaks(examples, images))
    # The splits of a benchmark of the package are as published, unless it makes them; nobody can mend them.
    published = type(benchmark).__module__.startswith("bridgelab.") and not hasattr(benchmark, "split_rule")
    metrics = benchmark.metrics()
    units = _clusters(examples)
    parts = [
        _part(
            split,
            kind,
            own,
            units[split, kind],
            _floor(examples.get(("train", kind), []), own, metrics[kind]),
        )
        for (split, kind), own in examples.items()
    ]
    return DataCheck(
        name=benchmark.name,
        parts=tuple(parts),
        sizes=_sizes(images),
        problems=(
            *problems,
            *(f"{leak}. {NO_COPIES}" for leak in leaks if not published),
            *_unlike(benchmark.name, examples),
            *_refusals(examples, metrics),
        ),
        remarks=(
            *getattr(benchmark, "remarks", ()),
            *(f"{leak}. The benchmark was published so" for leak in leaks if published),
            *_dark(images),
            *_thin_cells(parts),
            *_sure_guesses(parts),
        ),
        examples=examples,
    )


def _look(shown: Iterable[str]) -> tuple[dict[str, Image], list[str]]:
    """Return the images that can be read by path, and a problem for those that are missing and for those that are broken."""
    paths = list(dict.fromkeys(shown))
    absent = missing(paths)
    images, broken = try_each(_read, [path for path in paths if path not in absent], "looking at images")
    problems = [
        *_image_problems("are missing", absent, len(paths)),
        *_image_problems("can't be read", broken, len(paths)),
    ]
    return images, problems


def _sizes(images: Mapping[str, Image]) -> dict[tuple[int, int], int]:
    return dict(Counter((one.height, one.width) for one in images.values()).most_common())


def _read(path: str) -> Image:
    pixels = read_image(path)
    height, width, _ = pixels.shape
    return Image(height, width, file_hash(path), int(pixels.max()))


def _clusters(
    examples: Mapping[tuple[str, str], Sequence[Example]],
) -> dict[tuple[str, str], list[int]]:
    """Return the cluster of each example, by split and kind: examples of any kind that share an image or a group are one."""
    found: dict[tuple[str, str], list[int]] = {}
    for split in dict.fromkeys(split for split, _ in examples):
        every = [e for (of, _), own in examples.items() if of == split for e in own]
        shown = ["|".join(e.images) for e in every]
        table = pd.DataFrame({"id": [e.id for e in every], "image": shown})
        for name in ("group", "picture"):
            table[f"tag_{name}"] = [e.tags.get(name) for e in every]
        numbers = iter(clusters(table).tolist())
        found |= {
            key: list(itertools.islice(numbers, len(own))) for key, own in examples.items() if key[0] == split
        }
    return found


def _part(
    split: str, kind: str, examples: Sequence[Example], units: Sequence[int], floor: float | None
) -> SplitKind:
    words = [len(e.prompt.split()) for e in examples]
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    of_type: dict[str, set[int]] = defaultdict(set)
    typed = any("type" in e.tags for e in examples)
    for e, unit in zip(examples, units, strict=True):
        if not typed or "type" in e.tags:
            of_type[str(e.tags["type"]) if typed else ALL].add(unit)
        for name, value in e.tags.items():
            tags[name][str(value)] += 1
    return SplitKind(
        split=split,
        kind=kind,
        examples=len(examples),
        images=len({path for e in examples for path in e.images}),
        answers=dict(Counter(e.answers[0] for e in examples).most_common()),
        words=(min(words), median(words), max(words)),
        tags={name: dict(counts.most_common()) for name, counts in sorted(tags.items())},
        clusters={name: len(own) for name, own in of_type.items()},
        floor=floor,
    )


def _floor(train: list[Example], own: list[Example], metric: ExampleMetric) -> float | None:
    if not train or own[0].kind == "caption":
        return None
    guesses = zip(majority(train, own), own, strict=True)
    scores = [metric.score(guess, e) for guess, e in guesses if metric.counts(e)]
    return sum(scores) / len(scores) if scores else None


def _image_problems(what: str, problems: Mapping[str, str], images: int) -> Iterator[str]:
    if problems:
        first = ", ".join(list(problems)[:LISTED]) + ", …" * (len(problems) > LISTED)
        yield (
            f"{len(problems)} of {images} images {what}: {first}. Each example needs its images. Put them there or correct their names, "
            "or leave those examples out by data.on_error=skip."
        )


def _leaks(
    examples: Mapping[tuple[str, str], Sequence[Example]], images: Mapping[str, Image]
) -> Iterator[str]:
    """Yield what is wrong with each pair of splits that show one image, under one name or under two."""
    shown: dict[str, dict[str, str]] = defaultdict(dict)  # split -> hash -> path
    for (split, _), own in examples.items():
        for path in (path for e in own for path in e.images if path in images):
            shown[split].setdefault(images[path].hash, path)
    splits = [split for split in SPLITS if split in shown]
    for place, split in enumerate(splits):
        for other in splits[place + 1 :]:
            if common := sorted(shown[split].keys() & shown[other].keys()):
                pair = f"{shown[split][common[0]]} and {shown[other][common[0]]}"
                yield (
                    f"{len(common)} images of {split} are in {other} too, such as {pair}: a bridge may not be tested on images that it "
                    "was trained on"
                )


def _unlike(name: str, examples: Mapping[tuple[str, str], Sequence[Example]]) -> Iterator[str]:
    """Yield a problem for each split with a tag of two types, and for examples that differ in their number of images."""
    for split in SPLITS:
        of_split = [e for (of, _), own in examples.items() if of == split for e in own]
        try:
            check_tags(((e.id, e.tags) for e in of_split), f"{name}, {split}", "example ")
        except ValueError as error:
            yield str(error)
    first: dict[int, str] = {}  # number of images -> where
    for (split, _), own in examples.items():
        for e in own:
            first.setdefault(len(e.images), f"example {e.id} of {split}")
    if len(first) > 1:
        shown = " and ".join(f"{number} in {where}" for number, where in sorted(first.items()))
        yield f"{name}: examples differ in their number of images, {shown}: one benchmark needs one number. Split it."


def _refusals(
    examples: Mapping[tuple[str, str], Sequence[Example]], metrics: Mapping[str, ExampleMetric]
) -> Iterator[str]:
    for (split, kind), own in examples.items():
        if split != "train":
            try:
                metrics[kind].check(own, scores_only=split == "val")
            except ValueError as error:
                yield f"{split}, {kind}: {error}"


def _dark(images: Mapping[str, Image]) -> Iterator[str]:
    if dark := [path for path, image in images.items() if image.brightest <= DARK]:
        yield (
            f"{len(dark)} of {len(images)} images have no pixel above {DARK} of 255, such as {dark[0]}, and are nearly black to a bridge. "
            "Of 16 bits the upper 8 are kept: scale pixels of fewer bits, such as 0 to 4095, to 0 to 65535"
        )


def _thin_cells(parts: Sequence[SplitKind]) -> Iterator[str]:
    """Yield remarks on the rows and cells that the report will have."""
    for part in parts:
        if part.split != "test" or part.kind == "caption":
            continue
        for name, values in part.tags.items():
            if len(values) > MOST_VALUES and name != "group":
                yield f"tag {name} has {len(values)} values in test, and the more there are, the less each can show"
        units = "groups" if "group" in part.tags else "images"
        thin = [
            f"{name} ({number} questions, {part.clusters[name]} {units})"
            for name, number in part.tags.get("type", {ALL: part.examples}).items()
            if too_few(number, part.clusters[name])
        ]
        if thin:
            shown = ", ".join(thin[:LISTED]) + ", …" * (len(thin) > LISTED)
            yield (
                f"{len(thin)} {'type has' if len(thin) == 1 else 'types have'} fewer than {FEWEST} {part.kind} questions or {units} in "
                f"test, too few to tell bridges apart: {shown}"
            )


def _sure_guesses(parts: Sequence[SplitKind]) -> Iterator[str]:
    for part in parts:
        if part.split == "test" and part.floor is not None and part.floor > 0.95:
            yield f"the most frequent training answer is right for {100 * part.floor:.1f} % of test: bridges can hardly differ"
