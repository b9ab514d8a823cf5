"""What the miniature T5 is taught: text alone, drawn without end from scenes that are never rendered.

A *lesson* is a prefix (the scene in words, in one of the forms of `world.layout`), a prompt, a target, and the trace of
how the one follows from the other (`traces`). The embeddings of words that stand at one position are added. Reasoning is
learned first where an object takes one position; in phrases, the words of one object must be found to belong together.
"""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridgelab.pretraining.reader.traces import tags, trace
from bridgelab.world.caption import ORDERS, caption, caption_prompt
from bridgelab.world.held_out import check
from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.draft import noun
from bridgelab.world.questions.draw import draw_questions
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.scene import ATTRIBUTES, Object, Scene, relationships, sample_scene
from bridgelab.world.words import attribute_words, column, row


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
        for question in draw_questions(record, draw, balance, number=shares["question"], families=families):
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
