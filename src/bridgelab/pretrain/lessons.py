"""What the miniature T5 is taught: text alone, drawn without end from scenes that are never rendered.

A *lesson* is a prefix (the scene in words), a prompt, a target, and the trace of how the one follows from the other
(`traces`). The prefix is written in the forms of `LAYOUTS`: *compact*, each object once, in any order, as a query
bridge may hand it over; *patch-like*, in raster order on 8 × 8 positions with repeats, as a linear bridge does; and
*short*, compact without filler, which is cheap to learn from. Empty positions hold the filler word.

A position holds a *piece*: one or more words of an object, whose embeddings are added. An object's words are cut into
pieces at random: from whole objects (cut 0: reasoning is learned first) to ordinary phrases, each word at a position of
its own (cut 1: the words of one object must be found to belong together).
"""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bridgelab.pretrain.traces import tags, trace
from bridgelab.world.caption import ORDERS, caption, caption_prompt
from bridgelab.world.held_out import check
from bridgelab.world.question import FAMILIES, Balance, noun, questions
from bridgelab.world.scene import ATTRIBUTES, HALF_WIDTH, Object, Scene, relationships, sample_scene
from bridgelab.world.words import COLUMNS, ROWS, attribute_words, column, row

COMPACT = 16  # positions, where an object takes one
GRID = 8  # the miniature ViT's patches are 8 × 8
SLOTS = (*ATTRIBUTES.values(), COLUMNS, ROWS)  # what each word of an object's phrase is one of
WORDS = len(SLOTS)

Piece = tuple[
    int, int, int
]  # an object, and of its words the first that stands here and the first that does not
Layout = list[Piece | None]  # by position; None is the filler


@dataclass(frozen=True)
class Lesson:
    """One example: the scene, what is asked, what is to be said, the family for the tables, the objects by role."""

    scene: Scene
    prompt: str
    target: str
    family: str
    trace: dict[str, frozenset[int]] = field(default_factory=dict)
    tags: tuple[int, ...] = ()  # of the prompt's words; empty where none are told


def stream_rng(split: str, seed: int, index: int) -> np.random.Generator:
    """The generator of one chunk of lessons; no split shares a stream with another, nor with a split of the world."""
    return np.random.default_rng([zlib.crc32(f"pretrain text {split}".encode()), seed, index])


def lessons(
    split: str,
    seed: int,
    index: int,
    *,
    scenes: int,
    shares: dict[str, int],
    objects: tuple[int, int] = (3, 10),
    families: Sequence[str] = FAMILIES,
) -> list[Lesson]:
    """One chunk: `scenes` scenes with, for each, as many questions, captions and look-ups as `shares` says."""
    rng = stream_rng(split, seed, index)
    draw = random.Random(int(rng.integers(2**62)))
    balance = Balance()
    made: list[Lesson] = []
    for _ in range(scenes):
        scene = check(sample_scene(rng, objects=objects))
        record = symbolic(scene)
        for question in questions(record, draw, balance, number=shares["question"], families=families):
            program = list(question.program)
            found = trace(program, record)
            told = tuple(tags(question.text, question.family))
            made.append(Lesson(scene, question.text, question.answer, question.family, found, told))
        for order in draw.sample(list(ORDERS), shares["caption"]):
            text = caption(scene, order)
            made.append(Lesson(scene, caption_prompt(order), text, "caption", _ranks(scene, order)))
        made.extend(_look_up(scene, draw) for _ in range(shares["look_up"]))
    return made


def symbolic(scene: Scene) -> dict:
    """What CLEVR's programs read of a scene, without the picture."""
    things = [{name: getattr(o, name) for name in ATTRIBUTES} for o in scene.objects]
    return {"objects": things, "relationships": relationships(scene)}


def _place(thing: Object) -> str:
    return f"{column(thing.x)} {row(thing.y)}"


def _ranks(scene: Scene, order: str) -> dict[str, frozenset[int]]:
    ordered = sorted(range(len(scene.objects)), key=lambda k: ORDERS[order](scene.objects[k]))
    return {f"rank_{k}": frozenset(ordered[k:]) for k in range(1, len(ordered))}


def _look_up(scene: Scene, draw: random.Random) -> Lesson:
    """A thing at a place, the place of a thing, or how many things stand beside a place."""
    at = draw.randrange(len(scene.objects))
    target = scene.objects[at]
    found = {"asked": frozenset([at])}
    kind = draw.randrange(3)
    if kind == 0:
        said = " ".join(attribute_words(target))
        return Lesson(scene, f"what is at {_place(target)} ?", said, "look_up", found)
    if kind == 1:
        description: dict[str, str] = {}
        for name in draw.sample(list(ATTRIBUTES), len(ATTRIBUTES)):
            description[name] = getattr(target, name)
            same = [o for o in scene.objects if all(getattr(o, a) == v for a, v in description.items())]
            if len(same) == 1:
                asked = f"where is the {noun(description)} ?"
                return Lesson(scene, asked, _place(target), "look_up", found)
    side, sign, axis = draw.choice(
        (("left of", -1, 0), ("right of", 1, 0), ("in front of", -1, 1), ("behind", 1, 1))
    )
    beside = frozenset(
        k for k, o in enumerate(scene.objects) if sign * ((o.x, o.y)[axis] - (target.x, target.y)[axis]) > 0
    )
    asked = f"how many things are {side} {_place(target)} ?"
    return Lesson(scene, asked, str(len(beside)), "look_up", {"asked": beside})


def phrase(thing: Object) -> list[str]:
    """An object's six words."""
    return [*attribute_words(thing), column(thing.x), row(thing.y)]


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
    """
    blocks: list[tuple[int, int, list[Piece]]] = []
    for k, thing in enumerate(scene.objects):
        across = int((thing.x + HALF_WIDTH) / (2 * HALF_WIDTH) * GRID * 0.999)
        down = GRID - 1 - int((thing.y + HALF_WIDTH) / (2 * HALF_WIDTH) * GRID * 0.999)
        blocks.append((down * GRID + across, k, pieces(k, cut, rng)))
    room = GRID**2 - sum(len(block) for _, _, block in blocks)
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
