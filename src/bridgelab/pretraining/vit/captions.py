"""Captions as word ids: every object in random order, each by its place and then its attributes."""

import numpy as np
import torch
from torch import Tensor

from bridgelab.pretraining.vit.scene_pool import FACTS
from bridgelab.world.scene import ATTRIBUTES

PAD, START, END = 0, 1, 2
WORDS = ("<pad>", "<s>", "</s>", *(word for words in FACTS for word in words))
# Id of the first word of each kind of fact.
FIRST_IDS = np.cumsum([END + 1, *(len(words) for words in FACTS[:-1])])


def caption_ids(facts: np.ndarray, counts: np.ndarray, order: np.ndarray) -> Tensor:
    """Return captions as word ids, int64 [batch, 2 + facts per object * most objects], padded on the right.

    Args:
        facts: int8 [batch, object, fact], as `scene_pool.facts_of` returns it.
        counts: objects of each scene, [batch].
        order: [batch, object], any numbers: objects are named in ascending order of them.
    """
    most, width = int(counts.max()), len(FACTS)
    beyond = np.arange(facts.shape[1])[None, :] >= counts[:, None]
    named = np.argsort(np.where(beyond, np.inf, order), axis=1)[:, :most]
    words = np.take_along_axis(facts, named[:, :, None], axis=1) + FIRST_IDS
    ids = np.full((len(facts), 2 + width * most), PAD, np.int64)
    ids[:, 0] = START
    filled = np.arange(width * most)[None, :] < width * counts[:, None]
    ids[:, 1:-1] = np.where(filled, words.reshape(len(facts), -1), PAD)
    ids[np.arange(len(facts)), 1 + width * counts] = END
    return torch.from_numpy(ids)


def word_weights(shares: dict[str, float]) -> Tensor:
    """Return the weight of each word in the captioning loss, float [word], by the kind of its fact.

    The next object is random, so most of a place's loss cannot be learned, and drowns what can be.

    Args:
        shares: of 'place' and each of `ATTRIBUTES`; all other words have weight 1.
    """
    kinds = ("place", "place", *ATTRIBUTES)
    weights = torch.ones(len(WORDS))
    for first, words, kind in zip(FIRST_IDS, FACTS, kinds, strict=True):
        weights[first : first + len(words)] = shares[kind]
    return weights
