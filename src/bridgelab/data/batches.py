"""From examples to tensors: text becomes ids once, features are looked up, nothing is redone in a step."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bridgelab.benchmark.example import Example
from bridgelab.data.sampler import MixtureSampler

Batch = dict[str, Tensor]
LABEL_IGNORED = -100  # what torch's and transformers' cross-entropy passes over


class Tokenizer(Protocol):
    """The part of a text side that preparing examples needs."""

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """ids [text, position] and their mask."""
        ...

    def unknown(self, words: list[str]) -> list[str]:
        """Those words that it has no ids for."""
        ...


class Prepared:
    """Examples as arrays.

    Args:
        examples: of one split; all have as many images.
        text: the text side, for its tokenizer.
        row_of: an image's row in the feature store, by path.
        features: rows [image] -> features [image, patch, dim]; None where the bridge looks at nothing.
        question: which question a conditioned bridge is told: `question`, the example's own; `mismatched`, that of another
            example, always the same one, with another text where there is any; `none`.
    Raises:
        ValueError: if examples differ in their number of images.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        text: Tokenizer,
        row_of: dict[str, int],
        features: Callable[[np.ndarray], Tensor],
        question: str = "none",
    ):
        self.examples, self.features = list(examples), features
        numbers = {len(e.images) for e in self.examples}
        if len(numbers) > 1:
            raise ValueError(
                f"examples have {sorted(numbers)} images: one benchmark needs one number. Split it."
            )
        self.images = np.array([[row_of[path] for path in e.images] for e in self.examples], dtype=np.int64)
        self.prompts, self.prompt_lengths = _ids(text, [e.prompt for e in self.examples])
        self.asked = None if question == "none" else np.arange(len(self.examples))
        if question == "mismatched":
            self.asked = _mismatched([e.prompt for e in self.examples])
        self.targets, self.target_lengths = _ids(text, [e.answers[0] for e in self.examples])

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, rows: Sequence[int] | np.ndarray, images: np.ndarray | None = None) -> Batch:
        """Tensors of some examples; `images` are rows of the feature store to use in place of their own.

        Returns:
            patches [example, patch, dim]; prompt, prompt_mask and labels [example, position]; for a conditioned bridge
            also question and question_mask [example, position].
        """
        rows = np.asarray(rows)
        images = self.images[rows] if images is None else images
        patches = self.features(images.reshape(-1))
        prompt, mask = self._prompts(rows)
        told: Batch = {}
        if self.asked is not None:
            ids, real = self._prompts(self.asked[rows])
            told = {"question": torch.from_numpy(ids).long(), "question_mask": torch.from_numpy(real)}
        # Few distinct lengths: oneDNN keeps a primitive for each shape it has met.
        long = int(self.target_lengths[rows].max())
        labels = self.targets[rows, : min(self.targets.shape[1], long if long <= 4 else round_up(long))]
        labels = np.where(np.arange(labels.shape[1]) < self.target_lengths[rows, None], labels, LABEL_IGNORED)
        return {
            "patches": patches.reshape(len(rows), -1, patches.shape[-1]),
            "prompt": torch.from_numpy(prompt).long(),
            "prompt_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels).long(),
            **told,
        }

    def _prompts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids and mask [example, position], as wide as the longest."""
        ids = self.prompts[rows, : round_up(int(self.prompt_lengths[rows].max()))]
        return ids, np.arange(ids.shape[1]) < self.prompt_lengths[rows, None]

    def digest(self) -> str:
        """A hash of what is asked and answered: two runs with the same one were given the same examples."""
        sha = hashlib.sha256()
        for e in self.examples:
            sha.update("\x1f".join([e.id, e.kind, e.prompt, *e.answers]).encode() + b"\x1e")
        return sha.hexdigest()


def _mismatched(texts: list[str]) -> np.ndarray:
    """For each text the row of another one that differs from it, at random but always the same; if all are equal, any."""
    _, kind = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    rng = np.random.default_rng(0)
    other = rng.integers(len(texts), size=len(texts))
    if kind.size and kind.max() > 0:
        while (same := np.flatnonzero(kind[other] == kind)).size:
            other[same] = rng.integers(len(texts), size=same.size)
    return other


def unknown_answers(examples: Iterable[Example], text: Tokenizer) -> tuple[int, list[str]]:
    """How many examples' targets hold a word that the text side does not know, and these words, the most frequent first."""
    answers = Counter(e.answers[0] for e in examples)
    words = {answer: answer.split() for answer in answers}
    strange = set(text.unknown(sorted({word for own in words.values() for word in own})))
    met: Counter[str] = Counter()
    number = 0
    for answer, times in answers.items():
        if found := strange.intersection(words[answer]):
            number += times
            met.update(dict.fromkeys(found, times))
    return number, sorted(met, key=lambda word: (-met[word], word))


def round_up(length: int, step: int = 8) -> int:
    """The next multiple of `step`."""
    return -(-length // step) * step


def _ids(text: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """ids [text, position] (padded with 0 to a multiple of 8) and lengths [text]; each distinct text once."""
    if not texts:
        return np.zeros((0, 8), dtype=np.int32), np.zeros(0, dtype=np.int64)
    distinct = list(dict.fromkeys(texts))
    ids, mask = text.tokenize(distinct)
    of = {t: k for k, t in enumerate(distinct)}
    pick = np.array([of[t] for t in texts])
    lengths = mask.sum(1).numpy().astype(np.int64)
    padded = np.zeros((len(distinct), round_up(ids.shape[1])), dtype=np.int32)
    padded[:, : ids.shape[1]] = np.where(mask.bool().numpy(), ids.numpy(), 0)
    return padded[pick], lengths[pick]


class TrainingBatches:
    """What Lightning iterates over: the sampler's steps as tensors, each in as many parts as are accumulated; the position, in
    whole steps, is saved and restored."""

    def __init__(self, sampler: MixtureSampler, pools: dict[str, Prepared]):
        self.sampler, self.pools = sampler, pools

    def __len__(self) -> int:
        return len(self.sampler) * self.sampler.parts

    def __iter__(self) -> Iterator[Batch]:
        for step in self.sampler:
            pool = self.pools[step.pool]
            for part in range(self.sampler.parts):
                yield pool.batch(step.rows[part :: self.sampler.parts]) | self._weight(pool, step.whole)

    def _weight(self, pool: Prepared, whole: np.ndarray) -> Batch:
        """What a part's loss is divided by: averaged over all parts it is then the mean over the whole batch's tokens."""
        parts = self.sampler.world * self.sampler.parts
        return {} if parts == 1 else {"tokens": torch.tensor(pool.target_lengths[whole].sum() / parts)}

    def told(self, step: int) -> tuple[str, list[str]]:
        """The pool of a step's batch and the ids of its examples, of this process's part."""
        found = self.sampler.batch(step)
        return found.pool, [self.pools[found.pool].examples[row].id for row in found.rows]

    def state_dict(self) -> dict[str, Any]:
        """The sampler's."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The sampler's."""
        self.sampler.load_state_dict(state)
