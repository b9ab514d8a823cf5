"""How far a bridge's tokens are from the language model's word embeddings, and which words are nearest to them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgelab.explain.jackknife import jackknife
from bridgelab.report.diagnosis.record import SINGLE_RUN
from bridgelab.statistics.estimate import Estimate, Sample

NUM_LISTED = 12  # words
MAX_COSINES = 2**26  # in memory at once


@dataclass(frozen=True)
class NearestWords:
    """Tokens compared with word embeddings.

    Args:
        gap: modality gap, from 0 to 2: length of the difference between the mean token and the mean word embedding, all normalised
            to length 1 before (Liang et al. 2022, arXiv:2203.02053).
        cosine: of a token with its nearest word, mean over tokens.
        cosine_of_words: of a word with its nearest other word, for comparison; without an interval, as the vocabulary is fixed.
        named: among tokens whose nearest word occurs in any scene's description, the share whose word occurs in their own image's.
        named_elsewhere: the share whose word occurs in another image's description, which is what chance gives.
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
    """Compare the tokens of some images with the language model's word embeddings.

    Args:
        tokens: [image, token, dim], as the T5's encoder reads them; intervals are over images.
        text: the frozen language model.
        scenes: each image's scene in words, if there are any.
    """
    embeddings = text.model.shared.weight
    words = _normalise(embeddings.float())
    images, number = tokens.shape[:2]
    flat = _normalise(tokens.float().flatten(0, 1)).to(words.device)
    cosine, index = _nearest(flat, words)
    cosine_of_words, _ = _nearest(words, words, exclude_self=True)
    spelled = [text.decode(torch.tensor([[k]]))[0] or "(special)" for k in range(len(embeddings))]
    nearest = np.array(spelled, dtype=object)[index].reshape(images, number)
    image_means = flat.view(images, number, -1).mean(1).double().cpu().numpy()
    word_mean = words.double().mean(0).cpu().numpy()
    counts = Counter(nearest.ravel().tolist())
    named: tuple[Estimate | None, Estimate | None] = (None, None)
    if images > 1 and len(scenes) == images and all(scenes):
        named = _named(nearest, [set(str(scene).split()) for scene in scenes])
    return NearestWords(
        gap=jackknife(lambda rows: float(np.linalg.norm(image_means[rows].mean(0) - word_mean)), images),
        cosine=Sample(range(images)).mean(
            cosine.reshape(images, number).mean(1)[None].astype(float), SINGLE_RUN, within_unit=False
        ),
        cosine_of_words=float(cosine_of_words.mean()),
        named=named[0],
        named_elsewhere=named[1],
        most=tuple((word, count / nearest.size) for word, count in counts.most_common(NUM_LISTED)),
    )


def _named(nearest: np.ndarray, scenes: Sequence[set[str]]) -> tuple[Estimate | None, Estimate | None]:
    """Return the fields `named` and `named_elsewhere` of `NearestWords`.

    Args:
        nearest: the nearest word [image, token].
        scenes: the words of each image's scene.
    """
    vocabulary = set.union(*scenes) - {".", ","}
    in_vocabulary = np.array([[word in vocabulary for word in row] for row in nearest])
    if not in_vocabulary.any():
        return None, None
    images, number = nearest.shape
    sample = Sample(np.repeat(np.arange(images), number))

    def share(shift: int) -> Estimate:
        hits = [[word in scenes[(k + shift) % images] for word in row] for k, row in enumerate(nearest)]
        return sample.mean(np.array(hits, float).reshape(1, -1), SINGLE_RUN, in_vocabulary.ravel())

    return share(0), share(1)


def _normalise(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _nearest(vectors: Tensor, words: Tensor, *, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return each vector's largest cosine with a word, and that word's index.

    Args:
        vectors: normalised [vector, dim].
        words: normalised [word, dim].
        exclude_self: whether word k is skipped for vector k.
    """
    cosines, indices = [], []
    size = max(1, MAX_COSINES // len(words))
    for first in range(0, len(vectors), size):
        products = vectors[first : first + size] @ words.T
        if exclude_self:
            rows = torch.arange(len(products), device=products.device)
            products[rows, rows + first] = -2.0
        largest, index = products.max(1)
        cosines.append(largest.cpu().numpy())
        indices.append(index.cpu().numpy())
    return np.concatenate(cosines), np.concatenate(indices)
