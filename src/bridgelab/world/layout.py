"""How a scene in words is laid out on the positions of a prefix.

In the forms of `LAYOUTS`: *compact*, each object once, in any order, as a query bridge may hand it over; *patch-like*, in
raster order on 8 × 8 positions with repeats, as a linear bridge does; and *short*, compact without filler, which is cheap
to learn from. Empty positions hold the filler word.

A position holds a *piece*: one or more words of an object. An object's words are cut into pieces at random, from whole
objects (cut 0) to ordinary phrases, each word at a position of its own (cut 1).
"""

import zlib
from itertools import pairwise

import numpy as np

from bridgelab.world.scene import HALF_WIDTH, Scene
from bridgelab.world.vocabulary import FILLER
from bridgelab.world.words import SLOTS, parse_words, scene_words

COMPACT = 16  # positions, where an object takes one
GRID = 8  # the miniature ViT's patches are 8 × 8
WORDS = len(SLOTS)

Piece = tuple[
    int, int, int
]  # an object, and of its words the first that stands here and the first that does not
Layout = list[Piece | None]  # by position; None is the filler


def pieces(thing: int, cut: float, rng: np.random.Generator) -> list[Piece]:
    """An object's words in their order, cut between any two with this chance."""
    ends = [0, *(np.flatnonzero(rng.random(WORDS - 1) < cut) + 1).tolist(), WORDS]
    return [(thing, start, stop) for start, stop in pairwise(ends)]


def short_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0, fillers: int = 0) -> Layout:
    """Each object once, in any order, with some fillers between objects."""
    blocks: list[Layout] = [[*pieces(k, cut, rng)] for k in range(len(scene.objects))]
    blocks += [[None]] * fillers
    return [piece for at in rng.permutation(len(blocks)) for piece in blocks[at]]


def compact_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0) -> Layout:
    """As `short_layout`, with as many fillers as there are positions left where an object takes one of 16."""
    return short_layout(scene, rng, cut, max(0, COMPACT - len(scene.objects)))


def patch_layout(scene: Scene, rng: np.random.Generator, cut: float = 0.0) -> Layout:
    """64 positions in raster order, far rows first: each object about the cell where it stands, often a second time near it.

    Where there are too many words for that, repeats are left out, and what does not fit at its cell begins earlier.

    Raises:
        ValueError: if there are more words than positions.
    """
    blocks: list[tuple[int, int, list[Piece]]] = []
    for k, thing in enumerate(scene.objects):
        across = int((thing.x + HALF_WIDTH) / (2 * HALF_WIDTH) * GRID * 0.999)
        down = GRID - 1 - int((thing.y + HALF_WIDTH) / (2 * HALF_WIDTH) * GRID * 0.999)
        blocks.append((down * GRID + across, k, pieces(k, cut, rng)))
    room = GRID**2 - sum(len(block) for _, _, block in blocks)
    if room < 0:
        raise ValueError(
            f"{len(scene.objects)} objects take {GRID**2 - room} positions of {GRID**2}. "
            "Write scenes of so many objects in the compact form."
        )
    for cell, k, _ in list(blocks):
        i, j = cell % GRID + rng.integers(-1, 2), cell // GRID + rng.integers(-1, 2)
        again = pieces(k, cut, rng)
        if rng.random() < 0.5 and 0 <= i < GRID and 0 <= j < GRID and len(again) <= room:
            blocks.append((int(j * GRID + i), k, again))
            room -= len(again)
    blocks.sort(key=lambda block: block[0])
    left = sum(len(block) for _, _, block in blocks)  # still to be placed
    layout: Layout = []
    for cell, _, block in blocks:
        layout += [None] * (min(cell, GRID**2 - left) - len(layout))
        layout += block
        left -= len(block)
    return layout + [None] * (GRID**2 - len(layout))


LAYOUTS = {"short": short_layout, "compact": compact_layout, "patch_like": patch_layout}


def patch_like(words: str) -> str:
    """A scene in words, phrases joined by ' . ', written in the patch-like form: always in the same way.

    Raises:
        ValueError: if they are not the built-in world's, or too many.
    """
    scene = parse_words(words.split(f" {FILLER} "))
    return written(scene, "patch_like", np.random.default_rng(zlib.crc32(words.encode())))


def written(scene: Scene, form: str, rng: np.random.Generator) -> str:
    """A scene as text, in one of `LAYOUTS`, each word at a position of its own.

    Raises:
        ValueError: if there is no such form, or the scene does not fit into it.
    """
    if form not in LAYOUTS:
        raise ValueError(f"form={form!r}: must be one of {', '.join(LAYOUTS)}.")
    said = [phrase.split() for phrase in scene_words(scene)]
    layout = LAYOUTS[form](scene, rng, 1.0)
    return " ".join(FILLER if piece is None else said[piece[0]][piece[1]] for piece in layout)
