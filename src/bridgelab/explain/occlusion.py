"""What an answer rests on: patches are replaced by the mean patch before the bridge, and the answer's likelihood watched."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import on_device
from bridgelab.model import BridgedModel

AT_ONCE = 64  # altered copies that the model sees together


@torch.no_grad()
def effect(
    model: BridgedModel, batch: dict[str, Tensor], groups: Bool[Tensor, "group patch"]
) -> Float[Tensor, " group"]:
    r"""By how much the log-probability of the target falls when a group of patches is taken away.

    $e_g = \log p(y \mid x) - \log p(y \mid x_{g \to \mu})$, where $\mu$ is the mean patch of the training images, which tells
    nothing of this one. The same for every bridge, with attention or without, and causal: it is measured on what comes out.

    Args:
        model: a calibrated one.
        batch: one example: patches [1, patch, dim], prompt, prompt_mask and labels [1, position].
        groups: which patches are replaced together, a row a group.
    Returns:
        Above 0 where the patches spoke for the target.
    Raises:
        ValueError: if there is more than one example, or the groups are of another number of patches.
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
    whole = model.likelihood(batch)
    found = []
    for part in groups.to(patches.device).split(AT_ONCE):
        altered = {name: value.expand(len(part), *value.shape[1:]) for name, value in batch.items()}
        altered["patches"] = torch.where(part[..., None], model.mean.to(patches.dtype), altered["patches"])
        found.append(whole - model.likelihood(altered))
    return torch.cat(found)


@torch.no_grad()
def effects(
    model: BridgedModel,
    prepared: TokenizedExamples,
    groups: Bool[np.ndarray, "example group patch"],
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "example group"]:
    """`effect` for many examples at once.

    Args:
        model: a calibrated one.
        prepared: the examples; a column of `groups` is a patch of theirs.
        groups: which patches are replaced together, for each example as many groups; an empty one has no effect.
        progress: called with how many examples are done.
    Raises:
        ValueError: if the groups are of another number of examples.
    """
    if len(groups) != len(prepared):
        raise ValueError(
            f"groups for {len(groups)} examples, and there are {len(prepared)}: give some for each."
        )
    together = max(1, AT_ONCE // (1 + groups.shape[1]))
    # Of like length side by side: little padding.
    order = np.lexsort((prepared.target_lengths, prepared.prompt_lengths))
    found = np.zeros(groups.shape[:2], dtype=np.float32)
    for first in range(0, len(order), together):
        rows = order[first : first + together]
        batch = on_device(prepared.batch(rows), model)
        with_whole = np.concatenate([np.zeros_like(groups[rows, :1]), groups[rows]], 1)
        copies = with_whole.shape[1]
        altered = {name: value.repeat_interleave(copies, 0) for name, value in batch.items()}
        patches = altered["patches"]
        taken = torch.from_numpy(with_whole).flatten(0, 1).to(patches.device)
        altered["patches"] = torch.where(taken[..., None], model.mean.to(patches.dtype), patches)
        likely = model.likelihood(altered).view(len(rows), copies).float().cpu().numpy()
        found[rows] = likely[:, :1] - likely[:, 1:]
        if progress:
            progress(first + len(rows))
    return found


def fall_maps(
    model: BridgedModel, batch: dict[str, Tensor], grid: tuple[int, int], cls: bool
) -> Float[np.ndarray, "image row column"]:
    """`effect` of the window around each patch, laid out as the images of one example.

    Args:
        model: a calibrated one.
        batch: one example of one image or several, as `effect` takes it.
        grid: rows and columns of an image's patches.
        cls: whether a class token stands before them; it is left as it is.
    """
    around = torch.nn.functional.pad(windows(grid), (int(cls), 0))
    images = batch["patches"].shape[1] // around.shape[1]
    groups = torch.block_diag(*[around.float()] * images).bool()
    return effect(model, batch, groups).float().cpu().numpy().reshape(images, *grid)


def windows(grid: tuple[int, int], reach: int = 1) -> Bool[Tensor, "window patch"]:
    """For each patch of a grid the square around it, `2 * reach + 1` wide and cut off at the edge.

    A ViT mixes what lies side by side, so one patch alone is hardly missed.
    """
    row, column = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    row, column = row.flatten(), column.flatten()
    return ((row[:, None] - row).abs() <= reach) & ((column[:, None] - column).abs() <= reach)
