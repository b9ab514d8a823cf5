"""Lessons as arrays: chunks of text made in a process of their own while the model trains."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import IterableDataset

from bridgelab.pretrain.lessons import PREFIXES, WORDS, Lesson, lessons

PAD, END, NONE = 0, 1, -1
MULTIPLE = 4


class Lessons(IterableDataset):
    """Endless batches, the same for the same seed; `start` is the chunk to go on from after a stop.

    Each batch is one form of the prefix and lessons of like length, so little of it is padding. A batch is a dict of
    `prefix [B, P, 6]` (word ids, −1 where a position has fewer words), `prompt [B, T]`, `target [B, L]` (0 padded),
    and `chunk`, the number of the chunk that it closes, or −1.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        *,
        seed: int,
        start: int,
        batch: int,
        scenes: int,
        shares: dict,
        forms,
    ):
        self.vocabulary, self.seed, self.start = vocabulary, seed, start
        self.batch, self.scenes, self.shares, self.forms = batch, scenes, dict(shares), forms

    def __iter__(self) -> Iterator[dict]:
        chunk = self.start
        while True:
            yield from self.chunk(chunk)
            chunk += 1

    def chunk(self, index: int) -> list[dict]:
        """All batches of one chunk; what doesn't fill a batch is left out."""
        made = lessons("train", self.seed, index, scenes=self.scenes, shares=self.shares)
        rng = np.random.default_rng([self.seed, index])
        noise = rng.random(len(made))
        order = sorted(
            range(len(made)),
            key=lambda k: (
                len(made[k].target.split()) // 8,
                len(made[k].prompt.split()) // MULTIPLE,
                noise[k],
            ),
        )
        groups = [order[k : k + self.batch] for k in range(0, len(order) - self.batch + 1, self.batch)]
        rng.shuffle(groups)
        names = list(self.forms)
        batches = []
        for group in groups:
            form = names[rng.choice(len(names), p=[self.forms[n] for n in names])]
            batches.append(collate([made[k] for k in group], form, self.vocabulary, rng) | {"chunk": NONE})
        batches[-1]["chunk"] = index
        return batches


def collate(group: list[Lesson], form: str, vocabulary: dict[str, int], rng: np.random.Generator) -> dict:
    """Arrays of some lessons with the scene written in one of `lessons.PREFIXES`."""
    prefixes = [PREFIXES[form](lesson.scene, rng) for lesson in group]
    prefix = np.full((len(group), len(prefixes[0]), WORDS), NONE)
    for b, positions in enumerate(prefixes):
        for p, words in enumerate(positions):
            prefix[b, p, : len(words)] = [vocabulary[w] for w in words]
    return {
        "prefix": torch.from_numpy(prefix),
        "prompt": _padded([lesson.prompt for lesson in group], vocabulary),
        "target": _padded([lesson.target for lesson in group], vocabulary),
    }


def _padded(texts: list[str], vocabulary: dict[str, int]) -> torch.Tensor:
    rows = [[vocabulary[w] for w in text.split()] + [END] for text in texts]
    longest = max(map(len, rows))
    width = longest if longest <= 2 else -(-longest // MULTIPLE) * MULTIPLE
    ids = torch.full((len(rows), width), PAD)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
    return ids
