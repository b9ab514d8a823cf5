"""Bridges of equal size: keyword arguments solved for a number of tokens or of parameters."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

TOLERANCE = 0.02  # relative, of the number of parameters
MAX_WIDTH = 2**20


def with_tokens(
    choices: dict[str, Any], tokens: int, grid: tuple[int, int], name: str, fixed: int | None = None
) -> dict[str, Any]:
    """Return a bridge's choices changed to output this many tokens.

    Args:
        choices: keyword arguments, as in the bridge's yaml.
        tokens: number of tokens.
        grid: rows and columns of the patches.
        name: the bridge's name in messages.
        fixed: the number of tokens of a bridge that always outputs as many; None for any other.
    Raises:
        ValueError: if the bridge cannot.
    """
    if fixed is not None and tokens != fixed:
        raise ValueError(
            f"budget.tokens={tokens}: {name} outputs {fixed} per image. Set budget.tokens={fixed}, or choose another bridge."
        )
    if fixed is not None:
        return choices
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
            f"budget.tokens={tokens}: {name} merges square cells of {grid[0]} x {grid[1]} patches, so it outputs one of "
            f"{possible}. Set budget.tokens to one of them."
        )
    if tokens == patches:
        return choices
    raise ValueError(
        f"budget.tokens={tokens}: {name} outputs one token per patch, {patches}. "
        f"Choose a bridge that compresses, such as linear_pooled or mlp_pooled, or set budget.tokens={patches}."
    )


def with_parameters(
    bridge_class: type[nn.Module],
    choices: dict[str, Any],
    parameters: int,
    widths: tuple[int, int],
    name: str,
) -> dict[str, Any]:
    """Return a bridge's choices changed to have this many trainable parameters, within 2 %. Its depth stays.

    Args:
        bridge_class: the bridge's class; its `sized_by` names the choice to solve for.
        choices: all keyword arguments, with `grid` if the class takes it.
        parameters: number of parameters.
        widths: vision_dim and text_dim.
        name: the bridge's name in messages.
    Raises:
        ValueError: if the bridge has no `sized_by`, or no size comes near enough.
    """
    key = getattr(bridge_class, "sized_by", None)
    if key is None:
        raise ValueError(
            f"budget.params={parameters}: {name} has no width to choose. Leave budget.params out for it, or compare it "
            "with bridges of its own size."
        )
    heads = choices.get("num_heads", 1) if key == "width" else 1  # heads divide a width
    step = math.lcm(heads, getattr(bridge_class, "sized_in_multiples_of", 1))

    def count(multiple: int) -> int:
        return count_parameters(bridge_class, choices | {key: multiple * step}, widths)

    # The number of parameters grows with the width, except that some classes need no projection where it is vision_dim. So that
    # width is tried by itself, and those below and above it by bisection.
    equal = widths[0] // step if key == "width" and widths[0] % step == 0 else 0
    multiples = [
        *_around(parameters, count, 1, equal - 1),
        *([equal] if equal else []),
        *_around(parameters, count, equal + 1, MAX_WIDTH // step),
    ]
    sizes = {count(multiple): {key: multiple * step} for multiple in multiples}
    nearest = min(sizes, key=lambda number: abs(number - parameters))
    if abs(nearest - parameters) > TOLERANCE * parameters:
        below = [number for number in sizes if number < parameters]
        above = [number for number in sizes if number > parameters]
        around = [*([max(below)] if below else []), *([min(above)] if above else [])]
        possible = " or ".join(f"{number:,} ({key}={sizes[number][key]})" for number in around)
        raise ValueError(
            f"budget.params={parameters}: {name} comes no nearer than {possible}. Set budget.params to one of these, or "
            "choose its depth."
        )
    return choices | sizes[nearest]


def _around(number: int, count: Callable[[int], int], first: int, last: int) -> list[int]:
    """Return, for an increasing `count`, the last value in [first, last] below the number and the first that reaches it."""
    low, high = first - 1, first
    while high < last and count(high) < number:
        low, high = high, min(2 * high, last)
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) < number:
            low = middle
        else:
            high = middle
    return [multiple for multiple in (low, high) if first <= multiple <= last]


def count_parameters(bridge_class: type[nn.Module], choices: dict[str, Any], widths: tuple[int, int]) -> int:
    """Return the number of trainable parameters of a bridge without allocating them."""
    with torch.device("meta"):
        return sum(p.numel() for p in bridge_class(*widths, **choices).parameters() if p.requires_grad)
