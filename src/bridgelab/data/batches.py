"""Examples as tensors: texts are tokenized once, features are looked up in each step."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bridgelab.benchmark.example import Example
from bridgelab.data.sampler import MixtureSampler

Batch = dict[str, Tensor]
LABEL_IGNORED = -100  # ignored by the cross-entropy of torch and transformers
CHUNK = 4096  # texts that are tokenized at once
# A text is reported if it is this many times as long as 99 % of texts, and has this many tokens.
OUTLIER_RATIO, OUTLIER_TOKENS = 8, 32
COMMON = 0.02  # share of examples above which excluding a question would reveal it


class Tokenizer(Protocol):
    """What tokenizing examples needs of a language model."""

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return token ids [text, position] and their mask."""
        ...

    def unknown(self, words: list[str]) -> list[str]:
        """Return the words that have no ids."""
        ...


class TokenizedExamples:
    """Examples as arrays.

    Args:
        examples: of one split, all with the same number of images.
        text: the language model, for its tokenizer.
        row_of: the row of each image in the features, by path.
        features: rows [image] -> features [image, patch, dim].
        question: the question that a conditioned bridge reads: `question`, the example's own; `mismatched`, that of another
            example, always the same one (`_mismatched`); `none`.
        max_length: tokens after which a prompt (`prompt`) and a target (`answer`) are cut; None for no bound. A cut target has no
            end token, so that a bridge does not learn to stop there.

    Attributes:
        outliers: a line for each bound that cuts texts, and if few texts are far longer than the others.
    Raises:
        ValueError: if examples differ in their number of images, or a bound is not a positive integer.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        text: Tokenizer,
        row_of: dict[str, int],
        features: Callable[[np.ndarray], Tensor],
        question: str = "none",
        max_length: Mapping[str, int | None] | None = None,
    ):
        self.examples, self.features = list(examples), features
        counts = {len(e.images) for e in self.examples}
        if len(counts) > 1:
            raise ValueError(
                f"examples have {sorted(counts)} images: one benchmark needs one number. Split it."
            )
        self.images = np.array([[row_of[path] for path in e.images] for e in self.examples], dtype=np.int64)
        max_length = max_length or {}
        for name, most in max_length.items():
            if most is not None and (type(most) is not int or most < 1):
                raise ValueError(
                    f"data.max_length.{name}={most!r}: must be a whole number from 1 on, or null for no bound."
                )
        self._prompts = _Texts(text, [e.prompt for e in self.examples], max_length.get("prompt"), ends=True)
        self.question_rows = None if question == "none" else np.arange(len(self.examples))
        if question == "mismatched":
            self.question_rows = _mismatched(self.examples)
        self._targets = _Texts(text, [e.answers[0] for e in self.examples], max_length.get("answer"))
        self.prompt_lengths, self.target_lengths = self._prompts.lengths, self._targets.lengths
        generated = [row for row, e in enumerate(self.examples) if not e.choices]
        self.outliers = [
            *self._prompts.outliers("prompt", self.examples, range(len(self.examples))),
            *self._targets.outliers("answer", self.examples, generated),
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, rows: Sequence[int] | np.ndarray, images: np.ndarray | None = None) -> Batch:
        """Return tensors of examples.

        Args:
            rows: of the examples.
            images: rows of the image features to use instead of the examples' own.

        Returns:
            `patches` [example, patch, dim]; `prompt` and `labels`, int64 [example, position], labels padded with `LABEL_IGNORED`;
            `prompt_mask`, bool [example, position], true for words; for a conditioned bridge also `question` and `question_mask`,
            like prompt and mask.
        """
        rows = np.asarray(rows)
        images = self.images[rows] if images is None else images
        patches = self.features(images.reshape(-1))
        prompt, mask = self._prompts.padded(rows)
        question: Batch = {}
        if self.question_rows is not None:
            ids, real = self._prompts.padded(self.question_rows[rows])
            question = {"question": torch.from_numpy(ids).long(), "question_mask": torch.from_numpy(real)}
        # Few distinct lengths, because oneDNN keeps a primitive for each shape.
        labels, real = self._targets.padded(rows, short=4)
        labels = np.where(real, labels, LABEL_IGNORED)
        return {
            "patches": patches.reshape(len(rows), -1, patches.shape[-1]),
            "prompt": torch.from_numpy(prompt).long(),
            "prompt_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels).long(),
            **question,
        }

    def digest(self) -> str:
        """Return a hash of prompts and answers: runs with the same hash have the same examples."""
        sha = hashlib.sha256()
        for e in self.examples:
            sha.update("\x1f".join([e.id, e.kind, e.prompt, *e.answers]).encode() + b"\x1e")
        return sha.hexdigest()


def _mismatched(examples: Sequence[Example]) -> np.ndarray:
    """Return for each example the row of another one, drawn at random with a fixed seed.

    A row with the same text is drawn again. But if one text makes up more than `COMMON` of the rows, its absence would reveal it
    (completely, with two texts). Then only the example's own row is excluded. Pools with captions keep the first rule, since the built-in
    world has four caption prompts, and recorded runs drew so. If all texts are equal, any row is drawn.
    """
    texts = np.array([e.prompt for e in examples], dtype=object).astype(str)
    _, own, times = np.unique(texts, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(0)
    other = rng.integers(len(texts), size=len(texts))
    if times.size > 1:
        if times.max() > COMMON * len(texts) and all(e.kind != "caption" for e in examples):
            own = np.arange(len(texts))
        while (same := np.flatnonzero(own[other] == own)).size:
            other[same] = rng.integers(len(texts), size=same.size)
    return other


def unknown_answers(examples: Iterable[Example], text: Tokenizer) -> tuple[int, list[str]]:
    """Return how many targets hold a word that the language model does not know, and these words, most frequent first."""
    answers = Counter(e.answers[0] for e in examples)
    words = {answer: answer.split() for answer in answers}
    unknown = set(text.unknown(sorted({word for own in words.values() for word in own})))
    counts_of: Counter[str] = Counter()
    number = 0
    for answer, times in answers.items():
        if own := unknown.intersection(words[answer]):
            number += times
            counts_of.update(dict.fromkeys(own, times))
    return number, sorted(counts_of, key=lambda word: (-counts_of[word], word))


def round_up(length: int, step: int = 8) -> int:
    """Return the next multiple of `step`."""
    return -(-length // step) * step


class _Texts:
    """Token ids of texts, each distinct text once and without padding, so that a long text does not lengthen the others.

    Args:
        max_length: tokens after which a text is cut; None for no bound.
        ends: keep the end token of a text that is cut.
    """

    def __init__(self, text: Tokenizer, texts: list[str], max_length: int | None, *, ends: bool = False):
        # Sorted by length, because each chunk is padded while it is tokenized.
        distinct = sorted(dict.fromkeys(texts), key=len)
        flat, full_lengths = [np.zeros(1, dtype=np.int32)], np.zeros(len(distinct), dtype=np.int64)
        for first in range(0, len(distinct), CHUNK):
            ids, mask = text.tokenize(distinct[first : first + CHUNK])
            real = mask.bool().numpy()
            full_lengths[first : first + CHUNK] = real.sum(1)
            flat.append(ids.numpy()[real].astype(np.int32))
        self._flat = np.concatenate(flat)
        starts = 1 + np.cumsum(full_lengths) - full_lengths
        kept = full_lengths if max_length is None else np.minimum(full_lengths, max_length)
        cut = np.flatnonzero(kept < full_lengths)
        if ends:
            self._flat[starts[cut] + kept[cut] - 1] = self._flat[starts[cut] + full_lengths[cut] - 1]
        row_of = {text: row for row, text in enumerate(distinct)}
        own = np.array([row_of[text] for text in texts], dtype=np.int64)
        self.max_length = max_length
        self._starts, self._full_lengths, self.lengths = starts[own], full_lengths[own], kept[own]

    def padded(self, rows: np.ndarray, short: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask [row, position], padded to the longest row, rounded up to eights if it is above `short`."""
        long = int(self.lengths[rows].max())
        places = np.arange(long if long <= short else round_up(long))
        real = places < self.lengths[rows, None]
        return self._flat[np.where(real, self._starts[rows, None] + places, 0)], real

    def outliers(self, what: str, examples: Sequence[Example], rows: Sequence[int] | range) -> list[str]:
        """Return a line if texts of these rows are cut, or few are far longer than the others."""
        if not len(rows):
            return []
        full_lengths = self._full_lengths[rows]
        most = examples[rows[int(full_lengths.argmax())]].id
        if cut := int((full_lengths > self.lengths[rows]).sum()):
            return [
                f"{cut} of {len(rows)} {what}s have more than data.max_length.{what}={self.max_length} tokens and are cut there; the "
                f"longest, of {most}, has {full_lengths.max()}"
            ]
        usual = int(np.quantile(full_lengths, 0.99, method="lower"))
        if full_lengths.max() >= max(OUTLIER_TOKENS, OUTLIER_RATIO * usual):
            return [
                f"99 % of {what}s have at most {usual} tokens, and the longest, of {most}, has {full_lengths.max()}: its batch costs as "
                "much"
                + (", and answers may be generated as long" if what == "answer" else "")
                + f". data.max_length.{what} cuts it"
            ]
        return []


def _weight(pool: TokenizedExamples, all_rows: np.ndarray, micro_batches: int) -> Batch:
    """Return the batch's target tokens divided by the number of micro-batches; empty for one.

    Each micro-batch's summed loss is divided by it, so that the average over micro-batches is the batch's mean over tokens.
    """
    tokens = pool.target_lengths[all_rows].sum()
    return {} if micro_batches == 1 else {"tokens": torch.tensor(tokens / micro_batches)}


class TrainingBatches:
    """Training batches as Lightning iterates over them: each step in as many micro-batches as gradients are accumulated over.

    Lightning saves and restores the position, in whole steps.

    Args:
        sampler: the order of examples.
        pools: the examples by pool.
    """

    def __init__(self, sampler: MixtureSampler, pools: dict[str, TokenizedExamples]):
        self.sampler, self.pools = sampler, pools

    def __len__(self) -> int:
        return len(self.sampler) * self.sampler.micro_batches

    def __iter__(self) -> Iterator[Batch]:
        for step in self.sampler:
            pool = self.pools[step.pool]
            number = self.sampler.micro_batches
            for first in range(number):
                weight = _weight(pool, step.all_rows, self.sampler.world_size * number)
                yield pool.batch(step.rows[first::number]) | weight

    def first(self, micro_batches: int) -> list[Batch]:
        """Return the batch of the first step in micro-batches, as so many processes or accumulations would take it."""
        step = self.sampler.batch(0)
        pool = self.pools[step.pool]
        number = min(micro_batches, len(step.rows))
        weight = _weight(pool, step.all_rows, number)
        return [pool.batch(step.rows[first::number]) | weight for first in range(number)]

    def example_ids(self, step: int) -> tuple[str, list[str]]:
        """Return the pool of a step's batch and the ids of its examples, those of other processes too."""
        batch = self.sampler.batch(step)
        return batch.pool, [self.pools[batch.pool].examples[row].id for row in batch.all_rows]

    def state_dict(self) -> dict[str, Any]:
        """Return the sampler's state."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sampler's state."""
        self.sampler.load_state_dict(state)
