"""How a scene in words is laid out on the positions of a prefix.

`LAYOUTS` holds three forms. *compact* has each object once, in any order, as a query bridge may output it. *patch-like* has
raster order on 8 × 8 positions with repeats, as a linear bridge has; `patch_like_36` and `patch_like_144` have 6 × 6 and
12 × 12. *short* is compact without filler, which is cheap to learn from. Empty positions hold the filler word.

A position holds a *piece*: one or more words of an object. An object's words are cut into pieces at random, from whole
objects (cut 0) to ordinary phrases with each word at a position of its own (cut 1). They are cut less often where raster order has
too few positions for all of them.
"""

import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np

from bridgelab.world.scene import HALF_WIDTH, Object, Scene
from bridgelab.world.vocabulary import FILLER
from bridgelab.world.words import SLOTS, parse_words, scene_words

COMPACT = 16  # positions, where an object takes one
GRID = 8  # the miniature ViT's patches are 8 × 8
WORDS = len(SLOTS)


class TooManyWords(ValueError):
    """A scene has more words than a form has positions."""


Piece = tuple[int, int, int]  # object, its first word here, the first of its words that is not here
Layout = list[Piece | None]  # by position; None is the filler


def cut_words(index: int, cut: float, rng: np.random.Generator) -> list[Piece]:
    """Return the words of object `index` in their order, cut between any two with chance `cut`."""
    ends = [0, *(np.flatnonzero(rng.random(WORDS - 1) < cut) + 1).tolist(), WORDS]
    return [(index, start, stop) for start, stop in pairwise(ends)]


def short_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0, fillers: int = 0) -> Layout:
    """Return each object once, in random order, with `fillers` fillers between objects."""
    blocks: list[Layout] = [[*cut_words(k, cut, rng)] for k in range(len(scene.objects))]
    blocks += [[None]] * fillers
    return [piece for block in rng.permutation(len(blocks)) for piece in blocks[block]]


def compact_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0) -> Layout:
    """Return `short_layout` with the fillers that bring it to 16 positions if each object takes one."""
    return short_layout(scene, rng, cut, max(0, COMPACT - len(scene.objects)))


def patch_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0, grid: int = GRID) -> Layout:
    """Return grid² positions in raster order, far rows first: each object near its cell, often a second time close by.

    With too many words for that, repeats are left out, and what does not fit at its cell begins earlier.

    Raises:
        TooManyWords: if there are more words than positions.
    """
    blocks = [(*_cell(thing, grid), k, cut_words(k, cut, rng)) for k, thing in enumerate(scene.objects)]
    free = grid**2 - sum(len(block) for *_, block in blocks)
    if free < 0:
        raise TooManyWords(
            f"{len(scene.objects)} objects take {grid**2 - free} positions of {grid**2}. "
            "Write such scenes in the compact form."
        )
    for column, row, k, _ in list(blocks):
        i, j = column + int(rng.integers(-1, 2)), row + int(rng.integers(-1, 2))
        repeat = cut_words(k, cut, rng)
        if rng.random() < 0.5 and 0 <= i < grid and 0 <= j < grid and len(repeat) <= free:
            blocks.append((i, j, k, repeat))
            free -= len(repeat)
    blocks.sort(key=lambda block: block[1] * grid + block[0])
    unplaced = sum(len(block) for *_, block in blocks)
    layout: Layout = []
    for column, row, _, block in blocks:
        layout += [None] * (min(row * grid + column, grid**2 - unplaced) - len(layout))
        layout += block
        unplaced -= len(block)
    return layout + [None] * (grid**2 - len(layout))


def fitted_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0, grid: int = GRID) -> Layout:
    """Return `patch_layout`; if it has too few positions, objects are cut less often until their words fit.

    Raises:
        TooManyWords: if there are more objects than positions.
    """
    while True:
        try:
            return patch_layout(scene, rng, cut, grid)
        except TooManyWords:
            if cut == 0:
                raise
            cut = cut / 2 if cut > 0.05 else 0.0


def _cell(thing: Object, grid: int) -> tuple[int, int]:
    """Return column and row of the cell that an object stands in."""
    across, depth = (int((v + HALF_WIDTH) / (2 * HALF_WIDTH) * grid * 0.999) for v in (thing.x, thing.y))
    return across, grid - 1 - depth


LAYOUTS: dict[str, Callable[..., Layout]] = {
    "short": short_layout,
    "compact": compact_layout,
    "patch_like": fitted_layout,
    "patch_like_36": partial(fitted_layout, grid=6),
    "patch_like_144": partial(fitted_layout, grid=12),
}


def write_scene(scene: Scene, form: str, rng: np.random.Generator) -> str:
    """Return a scene as text in one of `LAYOUTS`, with each word at a position of its own.

    Raises:
        ValueError: if there is no such form, or the scene does not fit into it.
    """
    if form not in LAYOUTS:
        raise ValueError(f"form={form!r}: must be one of {', '.join(LAYOUTS)}.")
    phrases = [phrase.split() for phrase in scene_words(scene)]
    layout = LAYOUTS[form](scene, rng, 1.0)
    if any(piece and piece[2] - piece[1] > 1 for piece in layout):
        raise TooManyWords(
            f"{len(scene.objects)} objects take {len(scene.objects) * WORDS} positions of {len(layout)}. "
            "Write such scenes in the compact form."
        )
    return " ".join(FILLER if piece is None else phrases[piece[0]][piece[1]] for piece in layout)


def write_patch_like(words: str) -> str:
    """Return a scene in words, phrases joined by ' . ', in the patch-like form. The same words give the same text.

    Raises:
        ValueError: if they are not the built-in world's, or too many.
    """
    scene = parse_words(words.split(f" {FILLER} "))
    return write_scene(scene, "patch_like", np.random.default_rng(zlib.crc32(words.encode())))
