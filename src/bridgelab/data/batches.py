"""From examples to tensors: text becomes ids once, features are looked up, nothing is redone in a step."""

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
LABEL_IGNORED = -100  # what torch's and transformers' cross-entropy passes over
AT_ONCE = 4096  # texts that are tokenised together
APART, TELLING = 8, 32  # a text so many times as long as 99 % are, and of so many tokens, is worth a word


class Tokenizer(Protocol):
    """The part of a text side that preparing examples needs."""

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """ids [text, position] and their mask."""
        ...

    def unknown(self, words: list[str]) -> list[str]:
        """Those words that it has no ids for."""
        ...


class TokenizedExamples:
    """Examples as arrays.

    Args:
        examples: of one split; all have as many images.
        text: the text side, for its tokenizer.
        row_of: an image's row in the feature store, by path.
        features: rows [image] -> features [image, patch, dim]; None where the bridge looks at nothing.
        question: which question a conditioned bridge is told: `question`, the example's own; `mismatched`, that of another
            example, always the same one, with another text where there is any; `none`.
        max_length: tokens after which a prompt (`prompt`) and a target (`answer`) are cut; None for no bound. A cut target has no
            end, so that a bridge is not taught to stop there.

    Attributes:
        outliers: a line for each bound that cuts something, and where few texts are far longer than the others.
    Raises:
        ValueError: if examples differ in their number of images, or a bound is none.
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
        numbers = {len(e.images) for e in self.examples}
        if len(numbers) > 1:
            raise ValueError(
                f"examples have {sorted(numbers)} images: one benchmark needs one number. Split it."
            )
        self.images = np.array([[row_of[path] for path in e.images] for e in self.examples], dtype=np.int64)
        max_length = max_length or {}
        for name, most in max_length.items():
            if most is not None and (type(most) is not int or most < 1):
                raise ValueError(
                    f"data.max_length.{name}={most!r}: must be a whole number from 1 on, or null for no bound."
                )
        self._prompts = _Texts(text, [e.prompt for e in self.examples], max_length.get("prompt"), ends=True)
        self.asked = None if question == "none" else np.arange(len(self.examples))
        if question == "mismatched":
            self.asked = _mismatched([e.prompt for e in self.examples])
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
        """Tensors of some examples; `images` are rows of the feature store to use in place of their own.

        Returns:
            patches [example, patch, dim]; prompt, prompt_mask and labels [example, position]; for a conditioned bridge
            also question and question_mask [example, position].
        """
        rows = np.asarray(rows)
        images = self.images[rows] if images is None else images
        patches = self.features(images.reshape(-1))
        prompt, mask = self._prompts.padded(rows)
        told: Batch = {}
        if self.asked is not None:
            ids, real = self._prompts.padded(self.asked[rows])
            told = {"question": torch.from_numpy(ids).long(), "question_mask": torch.from_numpy(real)}
        # Few distinct lengths: oneDNN keeps a primitive for each shape it has met.
        labels, real = self._targets.padded(rows, short=4)
        labels = np.where(real, labels, LABEL_IGNORED)
        return {
            "patches": patches.reshape(len(rows), -1, patches.shape[-1]),
            "prompt": torch.from_numpy(prompt).long(),
            "prompt_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels).long(),
            **told,
        }

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


class _Texts:
    """Token ids of texts, each distinct text once and as long as it is: one long text makes none of the others longer.

    Args:
        max_length: tokens after which a text is cut; None for no bound.
        ends: keep the token that closes a text where it is cut.
    """

    def __init__(self, text: Tokenizer, texts: list[str], max_length: int | None, *, ends: bool = False):
        distinct = sorted(
            dict.fromkeys(texts), key=len
        )  # like lengths together, as they are padded for a moment
        flat, whole = [np.zeros(1, dtype=np.int32)], np.zeros(len(distinct), dtype=np.int64)
        for first in range(0, len(distinct), AT_ONCE):
            ids, mask = text.tokenize(distinct[first : first + AT_ONCE])
            real = mask.bool().numpy()
            whole[first : first + AT_ONCE] = real.sum(1)
            flat.append(ids.numpy()[real].astype(np.int32))
        self._flat = np.concatenate(flat)
        starts = 1 + np.cumsum(whole) - whole
        kept = whole if max_length is None else np.minimum(whole, max_length)
        cut = np.flatnonzero(kept < whole)
        if ends:
            self._flat[starts[cut] + kept[cut] - 1] = self._flat[starts[cut] + whole[cut] - 1]
        row_of = {one: row for row, one in enumerate(distinct)}
        own = np.array([row_of[one] for one in texts], dtype=np.int64)
        self.max_length = max_length
        self._starts, self._whole, self.lengths = starts[own], whole[own], kept[own]

    def padded(self, rows: np.ndarray, short: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """ids and which are real [row, position], as wide as the longest of these rows, in eights beyond `short`."""
        long = int(self.lengths[rows].max())
        places = np.arange(long if long <= short else round_up(long))
        real = places < self.lengths[rows, None]
        return self._flat[np.where(real, self._starts[rows, None] + places, 0)], real

    def outliers(self, what: str, examples: Sequence[Example], rows: Sequence[int] | range) -> list[str]:
        """A line where some of these rows are cut, or few are far longer than the others."""
        if not len(rows):
            return []
        whole = self._whole[rows]
        most = examples[rows[int(whole.argmax())]].id
        if cut := int((whole > self.lengths[rows]).sum()):
            return [
                f"{cut} of {len(rows)} {what}s have more than data.max_length.{what}={self.max_length} tokens and are cut there; the "
                f"longest, of {most}, has {whole.max()}"
            ]
        usual = int(np.quantile(whole, 0.99, method="lower"))
        if whole.max() >= max(TELLING, APART * usual):
            return [
                f"99 % of {what}s have at most {usual} tokens, and the longest, of {most}, has {whole.max()}: its batch costs as "
                "much"
                + (", and answers may be generated as long" if what == "answer" else "")
                + f". data.max_length.{what} cuts it"
            ]
        return []


class TrainingBatches:
    """What Lightning iterates over: the sampler's steps as tensors, each in as many parts as are accumulated; the position, in
    whole steps, is saved and restored."""

    def __init__(self, sampler: MixtureSampler, pools: dict[str, TokenizedExamples]):
        self.sampler, self.pools = sampler, pools

    def __len__(self) -> int:
        return len(self.sampler) * self.sampler.parts

    def __iter__(self) -> Iterator[Batch]:
        for step in self.sampler:
            pool = self.pools[step.pool]
            for part in range(self.sampler.parts):
                yield pool.batch(step.rows[part :: self.sampler.parts]) | self._weight(pool, step.whole)

    def _weight(self, pool: TokenizedExamples, whole: np.ndarray) -> Batch:
        """What a part's loss is divided by: averaged over all parts it is then the mean over the whole batch's tokens."""
        parts = self.sampler.world * self.sampler.parts
        return {} if parts == 1 else {"tokens": torch.tensor(pool.target_lengths[whole].sum() / parts)}

    def example_ids(self, step: int) -> tuple[str, list[str]]:
        """Return the pool of a step's batch and the ids of this process's examples."""
        batch = self.sampler.batch(step)
        return batch.pool, [self.pools[batch.pool].examples[row].id for row in batch.rows]

    def state_dict(self) -> dict[str, Any]:
        """The sampler's."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The sampler's."""
        self.sampler.load_state_dict(state)
