"""Lessons as arrays: chunks of text made in a process of their own while the model trains."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from bridgelab.pretraining.reader.lessons import Lesson, lessons
from bridgelab.pretraining.reader.traces import ROLES
from bridgelab.world.layout import LAYOUTS, WORDS
from bridgelab.world.vocabulary import FILLER
from bridgelab.world.words import SLOTS, phrase

PAD, END, NONE = 0, 1, -1
UNTOLD = -2  # a word of whose role nothing is said, not even that it has none
MULTIPLE = 4
INDEX = [{word: k for k, word in enumerate(slot)} for slot in SLOTS]


class Lessons(IterableDataset):
    """Endless batches, the same for the same seed; `start` is the chunk to go on from after a stop.

    Each batch is one form of the prefix and lessons of like length, so little of it is padding. A batch is a dict of
    `prefix [B, P, 6]` (word ids, −1 where a position has fewer words), `phrases [B, P, 6]` (all words of the object that
    a position tells of, each its index in `words.SLOTS`; −1 at filler), `prompt [B, T]`, `target [B, L]` (0 padded),
    `traces [B, P, ROLES]` (1 where the object at a position is in the role's set, 0 where not, −1 where that is no
    question), `tags [B, T]` (as `traces.tags`; UNTOLD beyond), and `chunk`, the number of the chunk that it closes, or −1.
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
        self.drawn: dict[str, Any] = {
            "scenes": scenes,
            "shares": shares,
            "objects": objects,
            "families": families,
        }

    def __iter__(self) -> Iterator[dict]:
        chunk = self.start
        while True:
            yield from self.chunk(chunk)
            chunk += 1

    def chunk(self, index: int) -> list[dict]:
        """All batches of one chunk; a remainder that fills no batch is left out, at random."""
        made = lessons("train", self.seed, index, **self.drawn)
        rng = np.random.default_rng([self.seed, index])
        noise = rng.random(len(made))
        kept = rng.permutation(len(made))[: len(made) // self.batch * self.batch]
        order = sorted(
            kept,
            key=lambda k: (
                len(made[k].target.split()) // 8,
                len(made[k].prompt.split()) // MULTIPLE,
                noise[k],
            ),
        )
        groups = [order[k : k + self.batch] for k in range(0, len(order), self.batch)]
        rng.shuffle(groups)
        names = list(self.forms)
        batches = []
        for group in groups:
            form = names[rng.choice(len(names), p=[self.forms[n] for n in names])]
            cut = float(np.clip(rng.uniform(*self.cut), 0, 1))
            made_here = collate([made[k] for k in group], form, self.vocabulary, rng, cut)
            batches.append(made_here | {"chunk": NONE})
        batches[-1]["chunk"] = index
        return batches


def collate(
    group: list[Lesson], form: str, vocabulary: dict[str, int], rng: np.random.Generator, cut: float = 0.0
) -> dict:
    """Arrays of some lessons with the scene written in one of `layout.LAYOUTS`, its objects cut into pieces."""
    layouts = [LAYOUTS[form](lesson.scene, rng, cut) for lesson in group]
    width = max(map(len, layouts))
    prefix = np.full((len(group), width, WORDS), NONE)
    prefix[..., 0] = vocabulary[FILLER]
    phrases = np.full((len(group), width, WORDS), NONE)
    traces = np.full((len(group), width, len(ROLES)), NONE, np.int8)
    prompt = _padded([lesson.prompt for lesson in group], vocabulary)
    tags = torch.full(prompt.shape, UNTOLD)
    for b, lesson in enumerate(group):
        if lesson.tags:
            tags[b, : len(lesson.tags)] = torch.tensor(lesson.tags)
    for b, (lesson, layout) in enumerate(zip(group, layouts, strict=True)):
        said = [phrase(thing) for thing in lesson.scene.objects]
        found = [[index[word] for index, word in zip(INDEX, words, strict=True)] for words in said]
        told = [role in lesson.trace for role in ROLES]
        members = [
            [-1 if not t else k in lesson.trace[role] for role, t in zip(ROLES, told, strict=True)]
            for k in range(len(said))
        ]
        for p, piece in enumerate(layout):
            if piece is not None:
                k, start, stop = piece
                prefix[b, p, : stop - start] = [vocabulary[word] for word in said[k][start:stop]]
                phrases[b, p] = found[k]
                traces[b, p] = members[k]
    return {
        "prefix": torch.from_numpy(prefix),
        "phrases": torch.from_numpy(phrases),
        "prompt": prompt,
        "target": _padded([lesson.target for lesson in group], vocabulary),
        "traces": torch.from_numpy(traces),
        "tags": tags,
    }


def _padded(texts: list[str], vocabulary: dict[str, int]) -> torch.Tensor:
    rows = [[vocabulary[w] for w in text.split()] + [END] for text in texts]
    longest = max(map(len, rows))
    width = longest if longest <= 2 else -(-longest // MULTIPLE) * MULTIPLE
    ids = torch.full((len(rows), width), PAD)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
    return ids
