"""Bridges of one size: choices solved for from a number of parameters or of tokens."""

import math
from typing import Any

import torch
from torch import nn

WITHIN = 0.02  # of the parameters asked for
WIDEST = 2**20


def with_tokens(choices: dict[str, Any], tokens: int, grid: tuple[int, int], name: str) -> dict[str, Any]:
    """A bridge's choices with which it hands over this many tokens.

    Args:
        choices: as its yaml has them.
        tokens: how many.
        grid: rows and columns of the patches.
        name: what the bridge is called in messages.
    Raises:
        ValueError: if the bridge cannot.
    """
    for choice in ("num_queries", "num_tokens"):
        if choice in choices:
            return choices | {choice: tokens}
    patches = grid[0] * grid[1]
    if "ratio" in choices:
        ratio = math.isqrt(max(1, patches // max(1, tokens)))
        if ratio**2 * tokens == patches:
            return choices | {"ratio": ratio}
        possible = [patches // r**2 for r in range(1, min(grid) + 1) if not (grid[0] % r or grid[1] % r)]
        raise ValueError(
            f"budget.tokens={tokens}: {name} gathers square cells of {grid[0]} x {grid[1]} patches, so it hands over one of "
            f"{possible}. Set budget.tokens to one of them."
        )
    if tokens == patches:
        return choices
    raise ValueError(
        f"budget.tokens={tokens}: {name} hands over one token a patch, {patches}. "
        f"Take a bridge that compresses, such as linear_pooled or mlp_pooled, or set budget.tokens={patches}."
    )


def with_parameters(
    kind: type[nn.Module], choices: dict[str, Any], parameters: int, widths: tuple[int, int], name: str
) -> dict[str, Any]:
    """A bridge's choices with which it has this many trainable parameters, within 2 %; its depth stays.

    Args:
        kind: the bridge's class; its `sized_by` names the choice that is solved for.
        choices: all keyword arguments, `grid` too if it takes one.
        parameters: how many.
        widths: vision_dim and text_dim.
        name: what the bridge is called in messages.
    Raises:
        ValueError: if the bridge has no such choice, or none of its sizes comes near.
    """
    by = getattr(kind, "sized_by", None)
    if by is None:
        raise ValueError(
            f"budget.params={parameters}: {name} has no width to choose. Leave budget.params out for it, or compare it "
            "with bridges of its own size."
        )
    step = choices.get("num_heads", 1) if by == "width" else 1  # heads divide a width
    # The number grows with the width: the first multiple of `step` that reaches it, by bisection, or the one before.
    low, high = 0, 1
    while high * step < WIDEST and count(kind, choices | {by: high * step}, widths) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if count(kind, choices | {by: middle * step}, widths) < parameters:
            low = middle
        else:
            high = middle
    sizes = [{by: width * step} for width in (low, high) if width]
    found = {count(kind, choices | size, widths): size for size in sizes}
    nearest = min(found, key=lambda number: abs(number - parameters))
    if abs(nearest - parameters) > WITHIN * parameters:
        told = " or ".join(f"{number:,} ({by}={size[by]})" for number, size in found.items())
        raise ValueError(
            f"budget.params={parameters}: {name} comes no nearer than {told}. Set budget.params to one of these, or "
            "choose its depth."
        )
    return choices | found[nearest]


def count(kind: type[nn.Module], choices: dict[str, Any], widths: tuple[int, int]) -> int:
    """Trainable parameters of a bridge, which is not really made."""
    with torch.device("meta"):
        return sum(p.numel() for p in kind(*widths, **choices).parameters() if p.requires_grad)
