"""What the miniature T5 is taught: text alone, drawn without end from scenes that are never rendered.

A *lesson* is a prefix (the scene in words), a prompt and a target. The prefix is written in two forms, in equal
share once both are taught: *compact*, each object once at any of 16 positions, as a query bridge may hand it over;
and *patch-like*, in raster order on 8 × 8 positions with repeats, as a linear bridge does. Empty positions hold the
filler word. A position is a group of words, whose embeddings are added.
"""

import random
import zlib
from dataclasses import dataclass

import numpy as np

from bridgelab.pretrain.held_out import check
from bridgelab.world.caption import ORDERS, caption, caption_prompt
from bridgelab.world.program import run
from bridgelab.world.question import Balance, noun, questions
from bridgelab.world.scene import ATTRIBUTES, Object, Scene, relationships, sample_scene
from bridgelab.world.vocabulary import FILLER
from bridgelab.world.words import attribute_words, column, row

COMPACT = 16
GRID = 8  # the miniature ViT's patches are 8 × 8
WORDS = 6  # an object's phrase: four attributes, a column, a row


@dataclass(frozen=True)
class Lesson:
    """One example: the scene, what is asked, what is to be said, and the family for the tables."""

    scene: Scene
    prompt: str
    target: str
    family: str


def stream_rng(split: str, seed: int, index: int) -> np.random.Generator:
    """The generator of one chunk of lessons; no split shares a stream with another, nor with a split of the world."""
    return np.random.default_rng([zlib.crc32(f"pretrain text {split}".encode()), seed, index])


def lessons(
    split: str, seed: int, index: int, *, scenes: int, shares: dict[str, int], objects=(3, 10)
) -> list[Lesson]:
    """One chunk: `scenes` scenes with, for each, as many questions, explanations, captions and look-ups as `shares` says."""
    rng = stream_rng(split, seed, index)
    draw = random.Random(int(rng.integers(2**62)))
    balance = Balance()
    made: list[Lesson] = []
    for _ in range(scenes):
        scene = check(sample_scene(rng, objects=objects))
        record = symbolic(scene)
        asked = questions(record, draw, balance, number=shares["question"] + shares["explain"])
        draw.shuffle(asked)
        for k, question in enumerate(asked):
            if k < shares["question"]:
                made.append(Lesson(scene, question.text, question.answer, question.family))
            else:
                made.append(
                    Lesson(scene, f"explain {question.text}", _explain(scene, record, question), "explain")
                )
        for order in draw.sample(list(ORDERS), shares["caption"]):
            made.append(Lesson(scene, caption_prompt(order), caption(scene, order), "caption"))
        made.extend(_look_up(scene, draw) for _ in range(shares["look_up"]))
    return made


def symbolic(scene: Scene) -> dict:
    """What CLEVR's programs read of a scene, without the picture."""
    things = [{name: getattr(o, name) for name in ATTRIBUTES} for o in scene.objects]
    return {"objects": things, "relationships": relationships(scene)}


def _place(thing: Object) -> str:
    return f"{column(thing.x)} {row(thing.y)}"


def _explain(scene: Scene, record: dict, question) -> str:
    """The answer, then where the objects stand that the question goes by: 'red because c07 r13 , c02 r05'."""
    values = run(list(question.program), record)
    visited = [v for s, v in zip(question.program, values, strict=True) if s["function"] == "unique"]
    if question.program[-1]["function"] in ("count", "exist"):
        visited += sorted(values[question.program[-1]["inputs"][0]], key=lambda k: scene.objects[k].x)[:4]
    if not visited:
        return question.answer
    return f"{question.answer} because " + " , ".join(_place(scene.objects[k]) for k in visited)


def _look_up(scene: Scene, draw: random.Random) -> Lesson:
    """A thing at a place, the place of a thing, or how many things stand beside a place."""
    target = draw.choice(scene.objects)
    kind = draw.randrange(3)
    if kind == 0:
        return Lesson(scene, f"what is at {_place(target)} ?", " ".join(attribute_words(target)), "look_up")
    if kind == 1:
        description: dict[str, str] = {}
        for name in draw.sample(list(ATTRIBUTES), len(ATTRIBUTES)):
            description[name] = getattr(target, name)
            same = [o for o in scene.objects if all(getattr(o, a) == v for a, v in description.items())]
            if len(same) == 1:
                return Lesson(scene, f"where is the {noun(description)} ?", _place(target), "look_up")
    side, sign, axis = draw.choice(
        (("left of", -1, 0), ("right of", 1, 0), ("in front of", -1, 1), ("behind", 1, 1))
    )
    number = sum(sign * ((o.x, o.y)[axis] - (target.x, target.y)[axis]) > 0 for o in scene.objects)
    return Lesson(scene, f"how many things are {side} {_place(target)} ?", str(number), "look_up")


def phrase(thing: Object) -> list[str]:
    """An object's six words."""
    return [*attribute_words(thing), column(thing.x), row(thing.y)]


def compact_prefix(scene: Scene, rng: np.random.Generator) -> list[list[str]]:
    """16 positions: each object once, at a random one; filler elsewhere."""
    prefix = [[FILLER] for _ in range(COMPACT)]
    for at, thing in zip(rng.permutation(COMPACT), scene.objects, strict=False):
        prefix[at] = phrase(thing)
    return prefix


def patch_prefix(scene: Scene, rng: np.random.Generator) -> list[list[str]]:
    """64 positions in raster order, far rows first: each object in the cell where it stands, and often in a neighbour."""
    prefix: list[list[str] | None] = [None] * GRID**2
    spots: list[tuple[Object, int, int]] = []
    for thing in scene.objects:
        across = int((thing.x + 3.0) / 6.0 * GRID * 0.999)
        down = GRID - 1 - int((thing.y + 3.0) / 6.0 * GRID * 0.999)
        spots.append((thing, across, down))
        near = sorted(
            (abs(i - across) + abs(j - down), rng.random(), j * GRID + i)
            for i in range(GRID)
            for j in range(GRID)
        )
        prefix[next(at for _, _, at in near if prefix[at] is None)] = phrase(thing)
    for thing, across, down in spots:
        if rng.random() < 0.5:
            i, j = across + rng.integers(-1, 2), down + rng.integers(-1, 2)
            if 0 <= i < GRID and 0 <= j < GRID and prefix[j * GRID + i] is None:
                prefix[j * GRID + i] = phrase(thing)
    return [[FILLER] if words is None else words for words in prefix]


PREFIXES = {"compact": compact_prefix, "patch_like": patch_prefix}
