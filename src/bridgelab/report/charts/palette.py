"""How bridges, floors, ceilings and outcomes look in every chart of every study.

A colour belongs to an architecture, so that a bridge has one colour everywhere. A shape distinguishes its variants and the levels of
what a study varies. Every colour has a contrast of at least 3 to 1 (WCAG 2.2, 1.4.11) on the light and on the dark page.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

BLUE, VERMILION, GREEN, PINK, OCHRE = "#0072B2", "#D55E00", "#009970", "#C45C9A", "#A57C00"
SKY, VIOLET, BROWN = "#3C93C9", "#7E63C7", "#8A6A55"
COLOURS = (BLUE, VERMILION, GREEN, PINK, OCHRE, SKY, VIOLET, BROWN)
GREY = "#808080"  # floors and ceilings
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
)
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))

# Colour and shape by bridge. Bridges that studies compare most often have colours that are easiest to tell apart.
BRIDGES = {
    "linear": (BLUE, "circle"),
    "linear_pooled": (BLUE, "square"),
    "cls_linear": (BLUE, "diamond"),
    "pixel_shuffle": (BLUE, "triangle-up"),
    "mlp": (PINK, "circle"),
    "mlp_pooled": (PINK, "square"),
    "qformer": (VERMILION, "triangle-up"),
    "qformer_question": (VERMILION, "triangle-down"),
    "qformer_mismatched": (VERMILION, "cross"),
    "qformer_aligned": (VERMILION, "diamond"),
    "qformer_published": (VERMILION, "triangle-right"),
    "qformer_published_question": (VERMILION, "triangle-left"),
    "perceiver": (GREEN, "diamond"),
    "perceiver_cross_attention": (GREEN, "square"),
    "perceiver_question": (GREEN, "triangle-down"),
    "perceiver_mismatched": (GREEN, "cross"),
    "perceiver_published": (GREEN, "triangle-right"),
    "perceiver_idefics2": (SKY, "diamond"),
    "perceiver_idefics2_question": (SKY, "triangle-down"),
    "perceiver_idefics2_mismatched": (SKY, "cross"),
    "perceiver_qwen": (BROWN, "diamond"),
    "c_abstractor": (OCHRE, "square"),
    "d_abstractor": (OCHRE, "triangle-up"),
    "ldp_v2": (VIOLET, "square"),
    "token_packer": (VIOLET, "circle"),
    "matryoshka": (VIOLET, "diamond"),
}
# Floors and ceilings are no bridges: grey lines, distinguished by their dashes.
LINES = {
    "blind": (1, 0),
    "shuffled": (2, 2),
    "majority": (5, 3),
    "words": (10, 3),
    "words_prompted": (10, 3, 2, 3),
    "words_patch_like": (4, 2, 1, 2, 1, 2),
}
OTHER_LINE = (1, 4)


@dataclass(frozen=True)
class Style:
    """The look of one row: the colour as hex digits, a Vega shape of points, and a dash of lines."""

    colour: str
    shape: str
    dash: tuple[int, ...]


def row_styles(names: Sequence[str]) -> dict[str, Style]:
    """Return the style of each bridge of a study, by the name of its row.

    A user-defined bridge has a colour that follows from its name. If two rows would look alike, the later one takes the next shape.

    Args:
        names: rows such as "qformer" or "qformer, budget.tokens=4".
    """
    styles: dict[str, Style] = {}
    of_colour: dict[str, int] = {}
    taken: set[tuple[str, str]] = set()
    for name in names:
        bridge = name.split(", ", 1)[0]
        number = zlib.crc32(bridge.encode())
        colour, shape = BRIDGES.get(
            bridge, (COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)])
        )
        first = SHAPES.index(shape)
        free = [one for one in (*SHAPES[first:], *SHAPES[:first]) if (colour, one) not in taken]
        shape = free[0] if free else shape
        taken.add((colour, shape))
        place = of_colour[colour] = of_colour.get(colour, -1) + 1
        styles[name] = Style(colour, shape, DASHES[place % len(DASHES)])
    return styles


def line_dash(name: str) -> tuple[int, ...]:
    """Return the dash of a floor or a ceiling, by the name of its row."""
    return LINES.get(name.split(", ", 1)[0], OTHER_LINE)
