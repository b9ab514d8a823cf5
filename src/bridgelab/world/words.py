"""A scene in words, one phrase per object; and a scene parsed from words.

A position is a column (left to right) and a row (front to back) of width `MARGIN`. Each pair of objects is at least
`MARGIN` apart on both axes, so no two share a column or a row. The words alone therefore decide every left, right,
front and behind, and with them the answer to every question.
"""

import math

from bridgelab.world.scene import ATTRIBUTES, HALF_WIDTH, MARGIN, Object, Scene

CELLS = round(2 * HALF_WIDTH / MARGIN)
COLUMNS = tuple(f"c{k:02d}" for k in range(CELLS))
ROWS = tuple(f"r{k:02d}" for k in range(CELLS))
SLOTS = (*ATTRIBUTES.values(), COLUMNS, ROWS)  # the possible words at each place of an object's phrase


def _cell(coordinate: float) -> int:
    """Return which of the `CELLS` half-open intervals of width `MARGIN` holds the coordinate, clipped to the square."""
    return min(max(math.floor((coordinate + HALF_WIDTH) / MARGIN), 0), CELLS - 1)


def column(x: float) -> str:
    """Return the word for a left-to-right position, 'c00' (left) to 'c19' (right)."""
    return COLUMNS[_cell(x)]


def row(y: float) -> str:
    """Return the word for a front-to-back position, 'r00' (front) to 'r19' (back)."""
    return ROWS[_cell(y)]


def attribute_words(thing: Object) -> list[str]:
    """Return the four attributes in the order of questions and captions: size, colour, material, shape."""
    return [getattr(thing, name) for name in ATTRIBUTES]


def phrase(thing: Object) -> list[str]:
    """Return an object's six words, one of each of `SLOTS`."""
    return [*attribute_words(thing), column(thing.x), row(thing.y)]


def scene_words(scene: Scene) -> list[str]:
    """Return one phrase per object, such as 'large red metal cube c07 r13', in the scene's own order."""
    return [" ".join(phrase(o)) for o in scene.objects]


def parse_words(phrases: list[str]) -> Scene:
    """Parse a scene from its words, each object at the centre of its cell, so that all relations are kept.

    Raises:
        ValueError: if a phrase does not hold one word for each attribute, a column and a row.
    """
    return Scene(tuple(_parse(phrase) for phrase in phrases))


def _parse(phrase: str) -> Object:
    words = phrase.split()
    if len(words) != len(SLOTS) or any(w not in slot for w, slot in zip(words, SLOTS, strict=True)):
        raise ValueError(
            f"{phrase!r} is not an object in words. Give {', '.join(ATTRIBUTES)}, column and row, as in "
            "'large red metal cube c07 r13'."
        )
    size, color, material, shape, column_word, row_word = words
    x, y = (
        MARGIN * (cells.index(word) + 0.5) - HALF_WIDTH
        for cells, word in ((COLUMNS, column_word), (ROWS, row_word))
    )
    return Object(shape=shape, size=size, color=color, material=material, x=x, y=y)
