"""The image–text contrastive loss, and the hard negatives of image–text matching (BLIP-2, arXiv:2301.12597, section 3.2)."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

LABEL_SMOOTHING = (
    0.1  # of the contrastive loss and of text generation: the authors' code; the paper does not name it
)


def similarity(
    images: Float[Tensor, "image query dim"], texts: Float[Tensor, "text dim"]
) -> Float[Tensor, "image text"]:
    """Return the similarity of each image to each text: that of the query which is nearest to the text."""
    by_query = images.flatten(0, 1) @ texts.T
    return by_query.unflatten(0, images.shape[:2]).max(dim=1).values


def contrastive_loss(
    to_text: Float[Tensor, "own all"], to_image: Float[Tensor, "own all"], same: Bool[Tensor, "own all"]
) -> Float[Tensor, ""]:
    """Return the mean of the cross-entropies from images to texts and from texts to images.

    Captions of one image share the target evenly, as in the authors' fine-tuning for retrieval. With one caption per image
    the target is the paper's.

    Args:
        to_text: similarities of images to texts, over the temperature.
        to_image: similarities of texts to images, over the temperature.
        same: whether row and column belong to one image.
    """
    target = (same / same.sum(dim=1, keepdim=True)).to(to_text.dtype)
    losses = [F.cross_entropy(x, target, label_smoothing=LABEL_SMOOTHING) for x in (to_text, to_image)]
    return (losses[0] + losses[1]) / 2


def hard_negatives(
    logits: Float[Tensor, "row column"], same: Bool[Tensor, "row column"], draws: Float[Tensor, " row"]
) -> Int[Tensor, " row"]:
    """Return a column for each row, drawn with the probability of its softmax among those of other images.

    If all columns belong to the row's image, the drawn one does too: label it as a match.

    Args:
        logits: similarities over the temperature.
        same: whether row and column belong to one image.
        draws: uniform in [0, 1); they decide the result, so that a resumed run has the same negatives.
    """
    weights = logits.masked_fill(same, torch.finfo(logits.dtype).min).softmax(dim=1)
    sums = weights.cumsum(dim=1)
    drawn = torch.searchsorted(sums, draws[:, None].to(sums) * sums[:, -1:], right=True)
    return drawn[:, 0].clamp(max=logits.shape[1] - 1)


class _Gather(torch.autograd.Function):
    """The rows of all processes. A row's gradient is the sum over the losses of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def processes() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(x: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks; gradients reach every process."""
    return _Gather.apply(x.contiguous())
