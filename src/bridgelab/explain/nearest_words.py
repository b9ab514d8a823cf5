"""How far a bridge's tokens are from the words that the T5 knows, and which words are nearest to them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.explain.probe.objects import jackknife
from bridgelab.report.diagnosis.record import ONE
from bridgelab.statistics.estimate import Estimate, Sample

MOST = 12  # words that are listed
AT_ONCE = 2**26  # numbers of a matrix of cosines


@dataclass(frozen=True)
class NearestWords:
    """Tokens beside word embeddings.

    Args:
        gap: length of the difference between the mean token and the mean word embedding, each of length 1 before
            (Liang et al. 2022, arXiv:2203.02053): 0 to 2.
        cosine: of a token with its nearest word.
        cosine_of_words: of a word with its nearest other word, to compare: no interval, since the vocabulary is fixed.
        named: of tokens whose nearest word is one that scenes are told in, the share of words that are in the image's own scene.
        named_elsewhere: the share that are in another image's: what is there by chance.
        most: the words that are nearest most often, with their share of all tokens.
    """

    gap: Estimate
    cosine: Estimate
    cosine_of_words: float
    named: Estimate | None
    named_elsewhere: Estimate | None
    most: tuple[tuple[str, float], ...]


@torch.no_grad()
def nearest_words(tokens: Tensor, text: Any, scenes: Sequence[str | None] = ()) -> NearestWords:
    """Compare the tokens of some images with the T5's word embeddings.

    Args:
        tokens: [image, token, dim], as the T5's encoder reads them; intervals are over images.
        text: the text side.
        scenes: each image's scene in words, where there are any.
    """
    table = text.model.shared.weight
    words = _unit(table.float())
    images, number = tokens.shape[:2]
    flat = _unit(tokens.float().flatten(0, 1)).to(words.device)
    cosine, index = _nearest(flat, words)
    of_words, _ = _nearest(words, words, itself=False)
    told = [text.decode(torch.tensor([[k]]))[0] or "(special)" for k in range(len(table))]
    near = np.array(told, dtype=object)[index].reshape(images, number)
    sample = Sample(range(images))
    each = flat.view(images, number, -1).mean(1).double().cpu().numpy()
    middle = words.double().mean(0).cpu().numpy()
    counts = Counter(near.ravel().tolist())
    named: tuple[Estimate | None, Estimate | None] = (None, None)
    if images > 1 and len(scenes) == images and all(scenes):
        named = _named(near, [set(str(scene).split()) for scene in scenes])
    return NearestWords(
        gap=jackknife(lambda chosen: float(np.linalg.norm(each[chosen].mean(0) - middle)), images),
        cosine=sample.mean(cosine.reshape(images, number).mean(1)[None].astype(float), ONE, shares=False),
        cosine_of_words=float(of_words.mean()),
        named=named[0],
        named_elsewhere=named[1],
        most=tuple((word, count / near.size) for word, count in counts.most_common(MOST)),
    )


def _named(near: np.ndarray, scenes: Sequence[set[str]]) -> tuple[Estimate | None, Estimate | None]:
    vocabulary = set.union(*scenes) - {".", ","}
    judged = np.array([[word in vocabulary for word in row] for row in near])
    if not judged.any():
        return None, None
    images, number = near.shape
    sample = Sample(np.repeat(np.arange(images), number))
    found = []
    for shift in (0, 1):
        hits = [[word in scenes[(k + shift) % images] for word in row] for k, row in enumerate(near)]
        found.append(sample.mean(np.array(hits, float).reshape(1, -1), ONE, judged.ravel()))
    return found[0], found[1]


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _nearest(vectors: Tensor, words: Tensor, itself: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The largest cosine of each vector with a word, and which word; `itself`: whether word k may be vector k's."""
    cosines, indices = [], []
    size = max(1, AT_ONCE // len(words))
    for first in range(0, len(vectors), size):
        found = vectors[first : first + size] @ words.T
        if not itself:
            rows = torch.arange(len(found), device=found.device)
            found[rows, rows + first] = -2.0
        best, which = found.max(1)
        cosines.append(best.cpu().numpy())
        indices.append(which.cpu().numpy())
    return np.concatenate(cosines), np.concatenate(indices)
