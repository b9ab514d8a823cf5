r"""Occlusion: patches are replaced by the mean patch before the bridge, and the fall of the answer's likelihood is measured.

For a group g of patches, the effect is $e_g = \log p(y \mid x) - \log p(y \mid x_{g \to \mu})$, where $\mu$ is the mean patch of the
training images, which tells nothing about this image. A bridge with converted weights has no such mean; $\mu$ is then the mean patch of
the example itself. The effect is causal, since it is measured on the output, and it is defined for every bridge, with attention or
without. Source: Zeiler and Fergus 2014, arXiv:1311.2901. Differs: patches are replaced in the frozen features, not in the pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.model import BridgedModel

MAX_COPIES = 64  # altered copies that the model reads at once


@torch.no_grad()
def occlusion_effect(
    model: BridgedModel, batch: dict[str, Tensor], groups: Bool[Tensor, "group patch"]
) -> Float[Tensor, " group"]:
    """Return by how much the target's log-probability falls if a group of patches is replaced, in nats.

    Args:
        model: a model whose bridge's output scale is set.
        batch: one example: patches [1, patch, dim]; prompt, prompt_mask and labels [1, position].
        groups: the patches that are replaced together, one row per group.
    Returns:
        Positive where the patches spoke for the target.
    Raises:
        ValueError: if there is more than one example, or the groups have another number of patches.
    """
    patches = batch["patches"]
    if len(patches) != 1:
        raise ValueError(
            f"{len(patches)} examples: patches are replaced in one at a time. Give a batch of one."
        )
    if groups.shape[1] != patches.shape[1]:
        raise ValueError(
            f"groups of {groups.shape[1]} patches for an example of {patches.shape[1]}: give a column for each patch."
        )
    unaltered, mean = model.likelihood(batch), _mean_patch(model, patches)
    effects = []
    for chunk in groups.to(patches.device).split(MAX_COPIES):
        altered = {name: value.expand(len(chunk), *value.shape[1:]) for name, value in batch.items()}
        altered["patches"] = torch.where(chunk[..., None], mean, altered["patches"])
        effects.append(unaltered - model.likelihood(altered))
    return torch.cat(effects)


def _mean_patch(model: BridgedModel, patches: Float[Tensor, "example patch dim"]) -> Tensor:
    """Return the patch to put in place of others: that of the training images, or of each example if the model has no moments."""
    return model.mean.to(patches.dtype) if model.mean.numel() > 1 else patches.mean(1, keepdim=True)


@torch.no_grad()
def occlusion_effects(
    model: BridgedModel,
    tokenized: TokenizedExamples,
    groups: Bool[np.ndarray, "example group patch"],
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "example group"]:
    """Return `occlusion_effect` of many examples.

    Args:
        model: a model whose bridge's output scale is set.
        tokenized: the examples.
        groups: the patches that are replaced together, equally many groups for each example; an empty group has no effect.
        progress: called with the number of examples done.
    Raises:
        ValueError: if the groups are of another number of examples.
    """
    if len(groups) != len(tokenized):
        raise ValueError(
            f"groups for {len(groups)} examples, and there are {len(tokenized)}: give some for each."
        )
    batch_size = max(1, MAX_COPIES // (1 + groups.shape[1]))
    # Examples of similar length share a batch, which keeps padding small.
    order = np.lexsort((tokenized.target_lengths, tokenized.prompt_lengths))
    effects = np.zeros(groups.shape[:2], dtype=np.float32)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        batch = on_device(tokenized.batch(rows), model)
        with_unaltered = np.concatenate([np.zeros_like(groups[rows, :1]), groups[rows]], 1)
        copies = with_unaltered.shape[1]
        altered = {name: value.repeat_interleave(copies, 0) for name, value in batch.items()}
        patches = altered["patches"]
        occluded = torch.from_numpy(with_unaltered).flatten(0, 1).to(patches.device)
        altered["patches"] = torch.where(occluded[..., None], _mean_patch(model, patches), patches)
        likelihood = model.likelihood(altered).view(len(rows), copies).float().cpu().numpy()
        effects[rows] = likelihood[:, :1] - likelihood[:, 1:]
        if progress:
            progress(first + len(rows))
    return effects


def occlusion_maps(
    model: BridgedModel, batch: dict[str, Tensor], grid: tuple[int, int], cls: bool
) -> Float[np.ndarray, "image row column"]:
    """Return the occlusion effect of the window around each patch, laid out as the images of one example.

    Args:
        model: a model whose bridge's output scale is set.
        batch: one example of one or several images, as `occlusion_effect` takes it.
        grid: rows and columns of an image's patches.
        cls: whether a class token precedes the patches; it is never replaced.
    """
    around = torch.nn.functional.pad(windows(grid), (int(cls), 0))
    images = batch["patches"].shape[1] // around.shape[1]
    groups = torch.block_diag(*[around.float()] * images).bool()
    return occlusion_effect(model, batch, groups).float().cpu().numpy().reshape(images, *grid)


def windows(grid: tuple[int, int], reach: int = 1) -> Bool[Tensor, "window patch"]:
    """Return, for each patch of a grid, the square around it, `2 * reach + 1` wide and cut off at the edge.

    A ViT mixes adjacent patches, so the loss of a single patch has little effect.
    """
    row, column = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    row, column = row.flatten(), column.flatten()
    return ((row[:, None] - row).abs() <= reach) & ((column[:, None] - column).abs() <= reach)
