"""Lessons as arrays: chunks of text made in a process of their own while the model trains."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from bridgelab.pretrain.lessons import LAYOUTS, NOTHING, WORDS, Lesson, lessons, phrase
from bridgelab.pretrain.traces import ROLES
from bridgelab.world.vocabulary import FILLER

PAD, END, NONE = 0, 1, -1
UNTOLD = -2  # a word of whose role nothing is said, not even that it has none
MULTIPLE = 4


class Lessons(IterableDataset):
    """Endless batches, the same for the same seed; `start` is the chunk to go on from after a stop.

    Each batch is one form of the prefix and lessons of like length, so little of it is padding. A batch is a dict of
    `prefix [B, P, 6]` (word ids, −1 where a position has fewer words), `prompt [B, T]`, `target [B, L]` (0 padded),
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
        objects: tuple[int, int],
        families: Sequence[str],
    ):
        self.vocabulary, self.seed, self.start, self.batch = vocabulary, seed, start, batch
        self.forms = forms
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
            batches.append(collate([made[k] for k in group], form, self.vocabulary, rng) | {"chunk": NONE})
        batches[-1]["chunk"] = index
        return batches


def collate(group: list[Lesson], form: str, vocabulary: dict[str, int], rng: np.random.Generator) -> dict:
    """Arrays of some lessons with the scene written in one of `lessons.LAYOUTS`."""
    layouts = [LAYOUTS[form](lesson.scene, rng) for lesson in group]
    prefix = np.full((len(group), len(layouts[0]), WORDS), NONE)
    traces = np.full((len(group), len(layouts[0]), len(ROLES)), NONE, np.int8)
    prompt = _padded([lesson.prompt for lesson in group], vocabulary)
    tags = torch.full(prompt.shape, UNTOLD)
    for b, lesson in enumerate(group):
        if lesson.tags:
            tags[b, : len(lesson.tags)] = torch.tensor(lesson.tags)
    for b, (lesson, layout) in enumerate(zip(group, layouts, strict=True)):
        phrases = [[vocabulary[w] for w in phrase(thing)] for thing in lesson.scene.objects]
        told = [role in lesson.trace for role in ROLES]
        members = [
            [-1 if not t else k in lesson.trace[role] for role, t in zip(ROLES, told, strict=True)]
            for k in range(len(phrases))
        ]
        for p, k in enumerate(layout):
            if k == NOTHING:
                prefix[b, p, 0] = vocabulary[FILLER]
            else:
                prefix[b, p] = phrases[k]
                traces[b, p] = members[k]
    return {
        "prefix": torch.from_numpy(prefix),
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
