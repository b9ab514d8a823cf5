"""Lessons as arrays: batches of text that a worker process draws while the model trains."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bridgelab.pretraining.t5.lessons import Lesson, lessons
from bridgelab.pretraining.t5.traces import ROLES
from bridgelab.world.layout import LAYOUTS, WORDS, Layout
from bridgelab.world.vocabulary import FILLER
from bridgelab.world.words import SLOTS, phrase

PAD, END, NONE = 0, 1, -1
UNTAGGED = -2  # a word of unknown role; −1 is a word without a role
MULTIPLE = 4  # lengths are rounded up to this
INDEX = [{word: k for k, word in enumerate(slot)} for slot in SLOTS]


class Lessons(IterableDataset):
    """Endless batches, the same for the same seed.

    Each batch has one form of the prefix and lessons of similar length, so that little of it is padding. A batch is a dict
    as `collate` returns it, and `chunk`: the number of the chunk that it closes, or −1.

    Args:
        vocabulary: id of each word.
        seed: of all that is drawn.
        start: the chunk to start with; a resumed run continues with the next.
        batch: lessons in a batch.
        scenes: scenes in a chunk.
        shares: lessons per scene, by kind.
        forms: probability of each of `layout.LAYOUTS`.
        cut: range of a batch's chance that an object is cut between two words, clipped to [0, 1].
        objects: the least and the most objects of a scene.
        families: of questions.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        *,
        seed: int,
        start: int,
        batch: int,
        scenes: int,
        shares: dict[str, int],
        forms: dict[str, float],
        cut: tuple[float, float] = (0.0, 0.0),
        objects: tuple[int, int],
        families: Sequence[str],
    ):
        self.vocabulary, self.seed, self.start, self.batch = vocabulary, seed, start, batch
        self.forms, self.cut = forms, cut
        self.chunk_options: dict[str, Any] = {
            "scenes": scenes,
            "shares": shares,
            "objects": objects,
            "families": families,
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        chunk = self.start
        while True:
            yield from self.chunk(chunk)
            chunk += 1

    def chunk(self, index: int) -> list[dict[str, Any]]:
        """Return all batches of one chunk. Lessons that do not fill a batch are dropped at random.

        Raises:
            ValueError: if the chunk has fewer lessons than a batch.
        """
        examples = lessons("train", self.seed, index, **self.chunk_options)
        rng = np.random.default_rng([self.seed, index])
        groups = self._group_by_length(examples, rng)
        if not groups:  # a scene may have fewer questions than its share
            raise ValueError(
                f"batch={self.batch} is more than the {len(examples)} lessons of chunk {index}. Lower batch, or raise scenes_per_chunk."
            )
        names = list(self.forms)
        batches = []
        for group in groups:
            form = names[rng.choice(len(names), p=[self.forms[n] for n in names])]
            cut = float(np.clip(rng.uniform(*self.cut), 0, 1))
            arrays = collate([examples[k] for k in group], form, self.vocabulary, rng, cut)
            batches.append(arrays | {"chunk": NONE})
        batches[-1]["chunk"] = index
        return batches

    def _group_by_length(self, examples: list[Lesson], rng: np.random.Generator) -> list[list[int]]:
        """Return the indices of each batch, in random order."""
        tie_break = rng.random(len(examples))
        kept = rng.permutation(len(examples))[: len(examples) // self.batch * self.batch]

        def length(k: int) -> tuple[int, int, float]:
            lesson = examples[k]
            return len(lesson.target.split()) // 8, len(lesson.prompt.split()) // MULTIPLE, tie_break[k]

        order = sorted(kept, key=length)
        groups = [order[k : k + self.batch] for k in range(0, len(order), self.batch)]
        rng.shuffle(groups)
        return groups


def collate(
    group: list[Lesson], form: str, vocabulary: dict[str, int], rng: np.random.Generator, cut: float = 0.0
) -> dict[str, Tensor]:
    """Return lessons as arrays, for B lessons, P positions of the prefix, T words of a prompt and L of a target.

    Args:
        group: lessons.
        form: one of `layout.LAYOUTS`, in which the scenes are written.
        vocabulary: id of each word.
        rng: of the layouts.
        cut: chance that an object is cut between two words.
    Returns:
        - `prefix` [B, P, 6]: word ids, −1 where a position has fewer words;
        - `phrases` [B, P, 6]: all words of the object at a position, each as its index in `words.SLOTS`; −1 at filler;
        - `prompt` [B, T] and `target` [B, L]: word ids, padded with 0;
        - `traces` [B, P, role]: 1 if the object at a position has the role, 0 if not, −1 if the lesson lacks the role;
        - `tags` [B, T]: as `traces.tags`; UNTAGGED beyond the prompt, and in lessons without tags.
    """
    layouts = [LAYOUTS[form](lesson.scene, rng, cut) for lesson in group]
    width = max(map(len, layouts))
    prefix = np.full((len(group), width, WORDS), NONE)
    prefix[..., 0] = vocabulary[FILLER]
    phrases = np.full((len(group), width, WORDS), NONE)
    traces = np.full((len(group), width, len(ROLES)), NONE, np.int8)
    for b, (lesson, layout) in enumerate(zip(group, layouts, strict=True)):
        _write_prefix(lesson, layout, vocabulary, prefix[b], phrases[b], traces[b])
    prompt = _pad([lesson.prompt for lesson in group], vocabulary)
    tags = torch.full(prompt.shape, UNTAGGED)
    for b, lesson in enumerate(group):
        if lesson.tags:
            tags[b, : len(lesson.tags)] = torch.tensor(lesson.tags)
    return {
        "prefix": torch.from_numpy(prefix),
        "phrases": torch.from_numpy(phrases),
        "prompt": prompt,
        "target": _pad([lesson.target for lesson in group], vocabulary),
        "traces": torch.from_numpy(traces),
        "tags": tags,
    }


def _write_prefix(
    lesson: Lesson,
    layout: Layout,
    vocabulary: dict[str, int],
    prefix: np.ndarray,
    phrases: np.ndarray,
    traces: np.ndarray,
) -> None:
    """Write one lesson's scene into its rows of `prefix`, `phrases` and `traces`."""
    words = [phrase(thing) for thing in lesson.scene.objects]
    for position, piece in enumerate(layout):
        if piece is None:
            continue
        k, start, stop = piece
        prefix[position, : stop - start] = [vocabulary[word] for word in words[k][start:stop]]
        phrases[position] = [index[word] for index, word in zip(INDEX, words[k], strict=True)]
        traces[position] = [k in lesson.trace[role] if role in lesson.trace else NONE for role in ROLES]


def _pad(texts: list[str], vocabulary: dict[str, int]) -> Tensor:
    """Return word ids [text, length], each text closed by END."""
    rows = [[vocabulary[w] for w in text.split()] + [END] for text in texts]
    longest = max(map(len, rows))
    width = longest if longest <= 2 else -(-longest // MULTIPLE) * MULTIPLE
    ids = torch.full((len(rows), width), PAD)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
    return ids
