"""How much a run goes through: images, examples and the lengths of their texts, from the data if they are here."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from huggingface_hub import constants
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.example_limits import limit_examples
from bridgelab.data.image_files import file_hash
from bridgelab.data.pools import sort_into_pools
from bridgelab.data.sampler import MixtureSampler, stratified_indices

SPLITS = ("train", "val", "test")
SAMPLED_STEPS = 200  # whose batches give the lengths
SAMPLED_EXAMPLES = 20_000  # of a split and kind, whose texts are tokenized
READ_IMAGES = 16  # whose files are encoded by the dry run
HASHED_IMAGES = 200  # whose features are looked for in the store
SAMPLED_IMAGES = 8  # of each split of a world that is not drawn yet
Sizes = Mapping[str, Mapping[str, int]]  # "images" or "examples" -> split -> number


class Lengths(NamedTuple):
    """Tokens that a batch's prompts and targets are padded to."""

    prompt: int
    target: int


ASSUMED = Lengths(prompt=32, target=4)  # a question with its instruction, and a short answer


@dataclass(frozen=True)
class Evaluation:
    """The examples of one kind that an evaluation goes through.

    Args:
        examples: how many, within the run's limit.
        lengths: of their batches, on average.
        tokens: generated for each, end token included; 0 if an example has choices.
        choices: scored for each.
    """

    examples: int
    lengths: Lengths
    tokens: int
    choices: int = 0


@dataclass(frozen=True)
class Workload:
    """All that a run goes through; None for an unknown number.

    Args:
        source: where the numbers come from, in a few words.
        problem: what is wrong with the data; None if they are here, or drawn on first use.
        images: of all splits.
        examples: in training.
        images_per_example: 1, but for benchmarks that ask about several.
        pools: for each pool, its share of the steps and its batches' mean lengths.
        longest: the greatest lengths of all training batches.
        val: by kind of example.
        test: by kind of example.
        captioned: images of test, within the run's limit, that are captioned first if `evaluate.captioned` is set.
        image_files: contents of some of the image files, if they are here.
        image_hashes: of some of the image files, by which the feature store knows them; none if the images are not drawn yet.
        stored: the share of the images whose features are stored already.
    """

    source: str
    problem: str | None = None
    images: int | None = None
    examples: int | None = None
    images_per_example: int = 1
    pools: Mapping[str, tuple[float, Lengths]] = field(default_factory=lambda: {"answer": (1.0, ASSUMED)})
    longest: Lengths = ASSUMED
    val: Mapping[str, Evaluation] = field(default_factory=dict)
    test: Mapping[str, Evaluation] = field(default_factory=dict)
    captioned: int = 0
    image_files: Sequence[bytes] = ()
    image_hashes: Sequence[str] = ()
    stored: float = 0.0


class _WordCounter:
    """A stand-in for a tokenizer that is not here: four tokens for three words."""

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(text.split()) * 4 // 3 + 1 for text in texts])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return mask.long(), mask


def read_workload(config: DictConfig, tokenizer: Any | None, sizes: Sizes) -> Workload:
    """Return what the run that a config names goes through.

    Args:
        config: of a run.
        tokenizer: with the `tokenize` of `text.t5.T5`; None if it is not on this machine.
        sizes: `images` and `examples` of each split, which take precedence over the data.
    """
    benchmark = build(config.benchmark, "benchmark")
    tokenizer = tokenizer or _WordCounter()
    published: Sizes = OmegaConf.to_container(config.benchmark.get("published") or OmegaConf.create({}))  # type: ignore[assignment]
    if hasattr(benchmark, "make") and not _drawn(benchmark):
        workload = _small_world(config, benchmark, tokenizer)
    else:
        try:
            with _offline():
                examples = {
                    split: {kind: benchmark.examples(split, kind) for kind in benchmark.kinds}
                    for split in SPLITS
                }
            workload = _from_examples(config, examples, tokenizer, "the data")
        except (OSError, ValueError, ImportError) as error:
            source = (
                "published numbers, lengths assumed" if published else "nothing: give images=N examples=N"
            )
            workload = _from_sizes(config, published, source, " ".join(str(error).split()))
    if not sizes:
        return workload
    return _from_sizes(config, {**published, **sizes}, "as given, lengths assumed", workload.problem)


def _drawn(benchmark: Any) -> bool:
    return all((Path(benchmark.root) / f"{benchmark.part(split)}.done").exists() for split in SPLITS)


def _small_world(config: DictConfig, benchmark: Any, tokenizer: Any) -> Workload:
    """Draw a small world of the same kind for the lengths of its texts; only training draws the real one."""
    with tempfile.TemporaryDirectory() as folder:
        changes = {"root": folder, "images": dict.fromkeys(SPLITS, SAMPLED_IMAGES), "processes": 1}
        smaller: Any = OmegaConf.merge(config.benchmark, changes)
        small = build(smaller, "benchmark")
        examples = {split: {kind: small.examples(split, kind) for kind in small.kinds} for split in SPLITS}
        factors = {split: benchmark.images[split] / SAMPLED_IMAGES for split in SPLITS}
        return _from_examples(config, examples, tokenizer, "the world, to be drawn on first use", factors)


def _from_examples(
    config: DictConfig,
    examples: Mapping[str, Mapping[str, list[Example]]],
    tokenizer: Any,
    source: str,
    factors: Mapping[str, float] | None = None,
) -> Workload:
    """Count examples and tokenize a sample of them; each of a split stands for `factors[split]`."""
    sampled = factors is not None
    factors = factors or dict.fromkeys(SPLITS, 1.0)
    paths = {
        split: {path for several in kinds.values() for e in several for path in e.images}
        for split, kinds in examples.items()
    }
    rows = {path: row for row, path in enumerate(sorted(set().union(*paths.values())))}
    train = [e for several in examples["train"].values() for e in several]
    pools = {
        name: _tokenize_sample(config, tokenizer, rows, several)
        for name, several in sort_into_pools(examples["train"], config.train).items()
    }
    batches = list(_training_lengths(config, pools))

    def evaluations(split: str, limit: Mapping[str, int | None]) -> dict[str, Evaluation]:
        return _evaluations(config, tokenizer, rows, examples[split], limit, factors[split])

    test = evaluations("test", config.evaluate.limit)
    questions = sum(one.examples for kind, one in test.items() if kind != "caption")
    captioned = _captioned_images(config, examples["test"], sampled=sampled)
    # A small world's images are the first ones of any world with its seed, whose features say nothing of the others.
    hashes = [] if sampled else _sample_hashes(list(rows))
    return Workload(
        source=source,
        images=round(sum(len(several) * factors[split] for split, several in paths.items())),
        examples=round(len(train) * factors["train"]),
        images_per_example=len(train[0].images),
        pools={
            name: (len(lengths) / len(batches), _mean(lengths))
            for name in pools
            if (lengths := [lengths for pool, lengths in batches if pool == name])
        },
        longest=Lengths(*np.max([lengths for _, lengths in batches], 0).tolist()),
        val=evaluations("val", config.train.val_limit),
        test=test,
        captioned=min(questions, round(captioned * factors["test"])),
        image_files=[Path(path).read_bytes() for path in list(rows)[:READ_IMAGES]],
        image_hashes=hashes,
    )


def _tokenize_sample(
    config: DictConfig, tokenizer: Any, rows: dict[str, int], examples: Sequence[Example]
) -> TokenizedExamples:
    """Tokenize at most `SAMPLED_EXAMPLES`; `rows` has a number for each image."""
    chosen = [examples[row] for row in stratified_indices(len(examples), SAMPLED_EXAMPLES)]
    max_length = config.data.get("max_length")
    return TokenizedExamples(
        chosen, tokenizer, rows, lambda rows: torch.zeros(len(rows), 1, 1), max_length=max_length
    )


def _evaluations(
    config: DictConfig,
    tokenizer: Any,
    rows: dict[str, int],
    examples: Mapping[str, list[Example]],
    limit: Mapping[str, int | None],
    factor: float,
) -> dict[str, Evaluation]:
    """Return the evaluation of each kind of a split's examples, each of which stands for `factor`."""
    return {
        kind: _evaluation(
            _tokenize_sample(config, tokenizer, rows, several),
            _at_most(round(len(several) * factor), limit.get("caption" if kind == "caption" else "answer")),
            config.evaluate.batch_size,
        )
        for kind, several in examples.items()
        if several
    }


def _captioned_images(config: DictConfig, examples: Mapping[str, list[Example]], *, sampled: bool) -> int:
    """Return the number of images that test questions are asked about: each is captioned if `evaluate.captioned` is set.

    Questions are limited as in `datamodule`, but not those of a small world, each of which stands for several.
    """
    if not sampled:
        examples = limit_examples(examples, config.evaluate.limit, whole_groups=True)
    return len({e.images for kind, several in examples.items() if kind != "caption" for e in several})


def _sample_hashes(paths: Sequence[str]) -> list[str]:
    """Return the hashes of some of the image files, of those that are there."""
    chosen = [paths[row] for row in stratified_indices(len(paths), HASHED_IMAGES)]
    return [file_hash(path) for path in chosen if os.path.isfile(path)]


def _training_lengths(
    config: DictConfig, pools: Mapping[str, TokenizedExamples]
) -> Iterator[tuple[str, Lengths]]:
    """Yield the pool and lengths of a run's first batches, in its own order."""
    stages: Any = OmegaConf.to_container(config.train.stages, resolve=True)
    sampler = MixtureSampler(
        {name: pool.prompt_lengths for name, pool in pools.items()},
        stages,
        steps=min(SAMPLED_STEPS, max(1, config.train.steps)),  # of train.steps=0 what a step would read
        batch_size=config.train.batch_size,
        seed=config.data_seed,
        window=config.train.window,
    )
    for step in sampler:
        yield step.pool, _padded(pools[step.pool], step.rows)


def _padded(pool: TokenizedExamples, rows: Any) -> Lengths:
    batch = pool.batch(rows)
    return Lengths(batch["prompt"].shape[1], batch["labels"].shape[1])


def _mean(lengths: Sequence[Lengths]) -> Lengths:
    return Lengths(*(max(1, round(float(mean))) for mean in np.mean(lengths, 0)))


def _evaluation(pool: TokenizedExamples, examples: int, batch_size: int) -> Evaluation:
    """Return an evaluation of this many examples, each like those of the pool."""
    number = max(1, examples)
    rows = np.resize(stratified_indices(len(pool.examples), number), number)  # the pool may have fewer
    # As `evaluation.predict` sorts them.
    rows = rows[np.lexsort((pool.target_lengths[rows], pool.prompt_lengths[rows]))]
    batches = [rows[first : first + batch_size] for first in range(0, number, batch_size)]
    batches = [
        batches[place] for place in stratified_indices(len(batches), max(1, SAMPLED_EXAMPLES // batch_size))
    ]
    choices = max(len(e.choices) for e in pool.examples)
    # A batch is generated until its longest answer ends.
    tokens = np.mean([pool.target_lengths[batch].max() for batch in batches])
    return Evaluation(
        examples,
        _mean([_padded(pool, batch) for batch in batches]),
        0 if choices else max(1, round(float(tokens))),
        choices,
    )


def _from_sizes(config: DictConfig, sizes: Sizes, source: str, problem: str | None) -> Workload:
    """Return a workload of which nothing but numbers is known."""
    images, examples = sizes.get("images", {}), sizes.get("examples", {})
    train, test = examples.get("train"), examples.get("test")
    val = examples.get("val", train)

    def assumed(number: int | None, limit: Mapping[str, int | None]) -> dict[str, Evaluation]:
        if number is None:
            return {}
        return {"answer": Evaluation(_at_most(number, limit.get("answer")), ASSUMED, ASSUMED.target)}

    return Workload(
        source=source,
        problem=problem,
        images=sum(images.values()) if images else None,
        examples=train,
        val=assumed(val, config.train.val_limit),
        test=assumed(test, config.evaluate.limit),
        captioned=_at_most(images.get("test", 0), config.evaluate.limit.get("answer")),
    )


def _at_most(number: int, limit: int | None) -> int:
    return number if limit is None else min(number, limit)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the hub's client from downloading data."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
