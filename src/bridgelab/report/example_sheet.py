"""A picture of a few examples of a benchmark: their images, what is asked about them, and what is right."""

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bridgelab.benchmark.example import Example
from bridgelab.data.image_files import read_image
from bridgelab.data.sampler import stratified_indices
from bridgelab.printable import printable

COLUMNS, ROWS = 3, 2
WIDTH = 46  # characters of a line
MAX_LINES = 3  # of a prompt or an answer


def chosen_examples(examples: Mapping[tuple[str, str], Sequence[Example]]) -> list[Example]:
    """Return six examples, or fewer if there are fewer: as many of each kind, spread over the last split that has it.

    Args:
        examples: by split and kind.
    """
    last = {kind: own for (_, kind), own in examples.items()}  # train, val, test in order
    number, kinds = ROWS * COLUMNS, list(last.values())
    shares = [number // len(kinds) + (place < number % len(kinds)) for place in range(len(kinds))]
    return [
        own[k] for own, share in zip(kinds, shares, strict=True) for k in stratified_indices(len(own), share)
    ]


def draw_examples(examples: Sequence[Example]) -> Figure:
    """Draw each example's images side by side, under its prompt and its answer."""
    figure = Figure(figsize=(4.2 * COLUMNS, 4.4 * ROWS), layout="constrained")
    cells = figure.subfigures(ROWS, COLUMNS, squeeze=False).ravel()
    for cell, example in zip(cells, examples, strict=False):
        panels = cell.subplots(1, len(example.images), squeeze=False)[0]
        for axes, path in zip(panels, example.images, strict=True):
            axes.set_axis_off()
            try:
                axes.imshow(read_image(path))
            except (OSError, ValueError):
                axes.text(0.5, 0.5, "can't be read", ha="center", va="center")
        cell.suptitle(_caption(example), fontsize=9, parse_math=False)
    return figure


def _caption(example: Example) -> str:
    tags = ", ".join(f"{name}={value}" for name, value in example.tags.items())
    lines = [
        *_wrapped(example.prompt),
        *_wrapped(f"→ {example.answers[0]}"),
        *_wrapped(tags),
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, max_lines=MAX_LINES, placeholder=" …")
