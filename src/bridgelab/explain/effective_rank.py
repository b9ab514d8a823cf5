r"""Effective rank: how many directions a bridge's tokens use.

$\exp(-\sum_k p_k \ln p_k)$, where $p_k$ are the singular values over their sum (Roy & Vetterli 2007, EUSIPCO).
"""

import numpy as np

from bridgelab.explain.jackknife import jackknife
from bridgelab.report.diagnosis.record import SINGLE_RUN
from bridgelab.statistics.estimate import Estimate, Sample


def effective_rank(matrix: np.ndarray) -> float:
    """Return the effective rank of a matrix of vectors [vector, dim], which is not centred."""
    return _perplexity(np.linalg.svd(matrix, compute_uv=False))


def _perplexity(values: np.ndarray) -> float:
    total = values.sum()
    if total <= 0:
        return 0.0
    p = values[values > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def rank_over_images(tokens: np.ndarray) -> Estimate:
    """Return the effective rank of all images' tokens together, centred; its variance is the jackknife's.

    Args:
        tokens: [image, token, dim].
    Raises:
        ValueError: if there are fewer than two images.
    """

    def rank(images: np.ndarray) -> float:
        flat = tokens[images].reshape(-1, tokens.shape[-1]).astype(np.float64)
        flat = flat - flat.mean(0)
        return _perplexity(np.sqrt(np.linalg.eigvalsh(flat.T @ flat).clip(min=0)))

    return jackknife(rank, len(tokens))


def rank_within_image(tokens: np.ndarray) -> Estimate:
    """Return the effective rank of one image's tokens, mean over images; near 1 if all tokens of an image are alike.

    Args:
        tokens: [image, token, dim].
    """
    ranks = np.array([effective_rank(one.astype(np.float64)) for one in tokens])
    return Sample(range(len(ranks))).mean(ranks[None], SINGLE_RUN, within_unit=False)
