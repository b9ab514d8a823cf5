"""A scene in words: one phrase an object, and back again.

Position is said as a column (left to right) and a row (front to back) of width `MARGIN`. Since each pair of
objects is at least `MARGIN` apart on both axes, no two share a column or a row, so that the words alone decide
every left, right, front and behind, and with them the answer to every question.
"""

import math

from bridgelab.world.scene import ATTRIBUTES, HALF_WIDTH, MARGIN, Object, Scene

CELLS = round(2 * HALF_WIDTH / MARGIN)
COLUMNS = tuple(f"c{k:02d}" for k in range(CELLS))
ROWS = tuple(f"r{k:02d}" for k in range(CELLS))
SLOTS = (*ATTRIBUTES.values(), COLUMNS, ROWS)  # what each word of an object's phrase is one of


def _cell(coordinate: float) -> int:
    """Which of the `CELLS` half-open intervals of width `MARGIN` holds the coordinate; beyond the square, the last."""
    return min(max(math.floor((coordinate + HALF_WIDTH) / MARGIN), 0), CELLS - 1)


def column(x: float) -> str:
    """The word for a left-to-right position, 'c00' (left) to 'c19' (right)."""
    return COLUMNS[_cell(x)]


def row(y: float) -> str:
    """The word for a front-to-back position, 'r00' (front) to 'r19' (back)."""
    return ROWS[_cell(y)]


def attribute_words(thing: Object) -> list[str]:
    """The four attributes in the order in which questions and captions say them: size, colour, material, shape."""
    return [getattr(thing, name) for name in ATTRIBUTES]


def phrase(thing: Object) -> list[str]:
    """An object's six words, one of each of `SLOTS`."""
    return [*attribute_words(thing), column(thing.x), row(thing.y)]


def scene_words(scene: Scene) -> list[str]:
    """One phrase an object, such as 'large red metal cube c07 r13', in the scene's own order."""
    return [" ".join(phrase(o)) for o in scene.objects]


def parse_words(phrases: list[str]) -> Scene:
    """Read a scene back from its words, each object at the middle of its cell (so left, right, … are as they were).

    Raises:
        ValueError: if a phrase does not hold one word for each attribute, a column and a row.
    """
    return Scene(tuple(_parse(phrase) for phrase in phrases))


def _parse(phrase: str) -> Object:
    words = phrase.split()
    if len(words) != len(SLOTS) or any(w not in slot for w, slot in zip(words, SLOTS, strict=True)):
        raise ValueError(
            f"{phrase!r} is no object in words. Give {', '.join(ATTRIBUTES)}, column and row, as in 'large red metal cube c07 r13'."
        )
    size, color, material, shape, at_column, at_row = words
    x, y = (
        MARGIN * (cells.index(word) + 0.5) - HALF_WIDTH
        for cells, word in ((COLUMNS, at_column), (ROWS, at_row))
    )
    return Object(shape=shape, size=size, color=color, material=material, x=x, y=y)
