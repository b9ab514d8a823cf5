"""How much a run goes through: images, examples, and how long their texts are, from the data where they are there."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.sampler import MixtureSampler, spread
from bridgelab.doctor.dry_run import Lengths

SPLITS = ("train", "val", "test")
ASSUMED = Lengths(prompt=32, target=4)  # of a question with its instruction, and a short answer
SAMPLED = 200  # steps whose batches are looked at
READ = 20_000  # examples of a split and kind whose texts are looked at
DRAWN = 8  # images of a world that is drawn aside, to see how long its texts are
COUNT = r"(?<![\d×.,])(?:(\d+) × )?(\d[\d,]*(?: [+/] \d[\d,]*)*)"
NOUNS = {
    "images": "images|photographs|pictures",
    "examples": "questions|sentences|captions|statements|examples",
}
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """What is asked of one kind of example in an evaluation.

    Args:
        examples: how many, within the run's limit.
        lengths: of their batches, padded.
        tokens: that are written, with the end token; 0 where an example has choices.
        choices: that are scored for each.
    """

    examples: int
    lengths: Lengths
    tokens: int
    choices: int = 0


@dataclass(frozen=True)
class Volume:
    """All that a run goes through; None for what is not known.

    Args:
        source: where the numbers are from, in a few words.
        problem: what is wrong with the data, None if they are there or drawn on first use.
        images: of all splits.
        examples: in training.
        each: images of one example.
        pools: for each pool, its share of the steps and its batches' mean lengths.
        longest: of all batches of training.
        validated: by kind, on val.
        tested: by kind, on test.
        asked: images of test that are captioned first, where `evaluate.captioned` is set.
        some: images that are there.
    """

    source: str
    problem: str | None = None
    images: int | None = None
    examples: int | None = None
    each: int = 1
    pools: Mapping[str, tuple[float, Lengths]] = field(default_factory=lambda: {"answer": (1.0, ASSUMED)})
    longest: Lengths = ASSUMED
    validated: Mapping[str, Kind] = field(default_factory=dict)
    tested: Mapping[str, Kind] = field(default_factory=dict)
    asked: int = 0
    some: Sequence[str] = ()


class _Words:
    """In place of a tokenizer that is not here: four tokens for three words."""

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(text.split()) * 4 // 3 + 1 for text in texts])
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        return real.long(), real


def volume(config: DictConfig, text: Any | None, given: Mapping[str, Counts], head: str) -> Volume:
    """What the run that a config names goes through.

    Args:
        config: of a run.
        text: its tokenizer, with the text side's `tokenize`; None where it is not here.
        given: `images` and `examples` as (train, …, test), which count more than anything else.
        head: the benchmark's yaml, whose first comment may tell how many there are.
    """
    benchmark = build(config.benchmark, "benchmark")
    tokenizer = text or _Words()
    if hasattr(benchmark, "make") and not _drawn(benchmark):
        found = _to_be_drawn(config, benchmark, tokenizer)
    else:
        try:
            with _offline():
                read = {
                    split: {kind: benchmark.examples(split, kind) for kind in benchmark.kinds}
                    for split in SPLITS
                }
            found = _measured(config, read, tokenizer, "the data")
        except (OSError, ValueError, ImportError) as error:
            told = published(head)
            source = "published numbers, lengths assumed" if told else "nothing: give images=N examples=N"
            found = _counted(config, told, source, " ".join(str(error).split()))
    if not given:
        return found
    return _counted(config, published(head) | dict(given), "as given, lengths assumed", found.problem)


def published(head: str) -> dict[str, Counts]:
    """The numbers of images and examples that a yaml's first comment tells, as (train, …, test)."""
    lines = re.match(r"(?:#.*\n)*", head)
    comment = " ".join((lines[0] if lines else "").replace("#", " ").split())
    found = {}
    for what, noun in NOUNS.items():
        if match := re.search(rf"{COUNT} (?:[\w-]+ ){{0,2}}(?:{noun})\b", comment):
            times, numbers = match.groups()
            found[what] = tuple(
                int(times or 1) * int(one.replace(",", "")) for one in re.split(r" [+/] ", numbers)
            )
    return found


def _drawn(benchmark: Any) -> bool:
    return all((Path(benchmark.root) / f"{split}.done").exists() for split in SPLITS)


def _to_be_drawn(config: DictConfig, benchmark: Any, tokenizer: Any) -> Volume:
    """A world is drawn by training, not by a look at it: a small one of its kind tells how long its texts are."""
    with tempfile.TemporaryDirectory() as folder:
        changed = {"root": folder, "images": dict.fromkeys(SPLITS, DRAWN), "processes": 1}
        smaller: Any = OmegaConf.merge(config.benchmark, changed)
        small = build(smaller, "benchmark")
        read = {split: {kind: small.examples(split, kind) for kind in small.kinds} for split in SPLITS}
        times = {split: benchmark.images[split] / DRAWN for split in SPLITS}
        found = _measured(config, read, tokenizer, "the world, to be drawn on first use", times)
    return replace(found, some=())


def _measured(
    config: DictConfig,
    read: Mapping[str, Mapping[str, list[Example]]],
    tokenizer: Any,
    source: str,
    times: Mapping[str, float] | None = None,
) -> Volume:
    """From examples; `times` says of how many each stands for."""
    times = times or dict.fromkeys(SPLITS, 1.0)
    paths = {
        split: {path for made in kinds.values() for e in made for path in e.images}
        for split, kinds in read.items()
    }
    images = {path: row for row, path in enumerate(sorted(set().union(*paths.values())))}

    def prepared(examples: list[Example]) -> TokenizedExamples:
        max_length = config.data.get("max_length")
        return TokenizedExamples(
            examples, tokenizer, images, lambda rows: torch.zeros(len(rows), 1, 1), max_length=max_length
        )

    trained = [e for made in read["train"].values() for e in made]
    some = {split: {kind: _some(made) for kind, made in kinds.items()} for split, kinds in read.items()}
    number = {
        split: {kind: len(made) * times[split] for kind, made in kinds.items()}
        for split, kinds in read.items()
    }
    pools = {name: prepared(made) for name, made in _pools(config, some["train"]).items()}
    shapes = list(_shapes(config, pools))
    asked = {e.images for kind, made in read["test"].items() if kind != "caption" for e in made}
    return Volume(
        source=source,
        images=round(sum(len(found) * times[split] for split, found in paths.items())),
        examples=round(len(trained) * times["train"]),
        each=len(trained[0].images),
        pools={
            name: (len(own) / len(shapes), _mean(own))
            for name in pools
            if (own := [lengths for pool, lengths in shapes if pool == name])
        },
        longest=Lengths(max(one.prompt for _, one in shapes), max(one.target for _, one in shapes)),
        validated=_kinds(config, config.train.val_limit, some["val"], number["val"], prepared),
        tested=_kinds(config, config.evaluate.limit, some["test"], number["test"], prepared),
        asked=round(len(asked) * times["test"]),
        some=list(images)[:16],
    )


def _pools(config: DictConfig, read: Mapping[str, list[Example]]) -> dict[str, list[Example]]:
    """What stages draw from, as `training.experiment` fills it."""
    drawn = {
        name for stage in config.train.stages for name, weight in stage.items() if weight and name != "share"
    }
    most = config.train.simple_objects
    captions = read.get("caption", [])
    pools = {
        "answer": [e for kind, made in read.items() if kind != "caption" for e in made],
        "caption": captions,
        "simple_caption": [e for e in captions if int(e.tags.get("objects", most + 1)) <= most],
    }
    return {name: made for name, made in pools.items() if made and name in drawn}


def _shapes(config: DictConfig, pools: Mapping[str, TokenizedExamples]) -> Iterator[tuple[str, Lengths]]:
    """The lengths of a sample of a run's batches, in its own order."""
    stages: Any = OmegaConf.to_container(config.train.stages, resolve=True)
    sampler = MixtureSampler(
        {name: pool.prompt_lengths for name, pool in pools.items()},
        stages,
        steps=min(SAMPLED, config.train.steps),
        batch_size=config.train.batch_size,
        seed=config.data_seed,
        window=config.train.window,
    )
    for step in sampler:
        batch = pools[step.pool].batch(step.rows)
        yield step.pool, Lengths(batch["prompt"].shape[1], batch["labels"].shape[1])


def _mean(lengths: Sequence[Lengths]) -> Lengths:
    return Lengths(
        *(
            max(1, round(float(np.mean([getattr(one, name) for one in lengths]))))
            for name in ("prompt", "target")
        )
    )


def _some(examples: list[Example]) -> list[Example]:
    return [examples[row] for row in spread(len(examples), READ)]


def _kinds(
    config: DictConfig,
    limit: Mapping[str, int | None],
    some: Mapping[str, list[Example]],
    numbers: Mapping[str, float],
    prepared: Callable[[list[Example]], TokenizedExamples],
) -> dict[str, Kind]:
    kinds = {}
    size = config.evaluate.batch_size
    for kind, examples in some.items():
        if examples:
            made = prepared(examples)
            most = limit.get("caption" if kind == "caption" else "answer")
            number = round(numbers[kind])
            order = np.lexsort((made.target_lengths, made.prompt_lengths))
            batches = [made.batch(order[k : k + size]) for k in range(0, len(order), size)]
            lengths = _mean([Lengths(b["prompt"].shape[1], b["labels"].shape[1]) for b in batches])
            # A batch is written until its longest answer ends.
            tokens = np.mean(
                [made.target_lengths[order[k : k + size]].max() for k in range(0, len(order), size)]
            )
            choices = max(len(e.choices) for e in examples)
            written = 0 if choices else max(1, round(float(tokens)))
            kinds[kind] = Kind(_within(number, most), lengths, written, choices)
    return kinds


def _counted(config: DictConfig, told: Mapping[str, Counts], source: str, problem: str | None) -> Volume:
    """From numbers alone: (train, …, test)."""
    images, examples = told.get("images"), told.get("examples")
    tested = validated = None
    if examples:
        tested = _within(examples[-1], config.evaluate.limit.answer)
        validated = _within(examples[-2] if len(examples) > 2 else examples[0], config.train.val_limit.answer)
    return Volume(
        source=source,
        problem=problem,
        images=sum(images) if images else None,
        examples=examples[0] if examples else None,
        validated={} if validated is None else {"answer": Kind(validated, ASSUMED, ASSUMED.target)},
        tested={} if tested is None else {"answer": Kind(tested, ASSUMED, ASSUMED.target)},
        asked=images[-1] if images else 0,
    )


def _within(number: int, most: int | None) -> int:
    return number if most is None else min(number, most)


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is downloaded by a look at what is there."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
