"""What a reader is taught: text alone, drawn without end from scenes that are never rendered.

A *lesson* is a prefix (the scene in words, in one of the forms of `world.layout`), a prompt, a target, and the trace of
how the one follows from the other (`traces`). The embeddings of words that stand at one position are added. Reasoning is
learned first where an object takes one position; in phrases, the words of one object must also be bound together.
"""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridgelab.pretraining.t5.traces import tags, trace
from bridgelab.world.caption import ORDERS, caption, caption_prompt
from bridgelab.world.held_out import check
from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.draft import noun
from bridgelab.world.questions.families import FAMILIES, RELATION_WORDS
from bridgelab.world.questions.generate import draw_questions
from bridgelab.world.scene import ATTRIBUTES, DIRECTIONS, Object, Scene, relationships, sample_scene
from bridgelab.world.words import attribute_words, column, row


@dataclass(frozen=True)
class Lesson:
    """One example.

    Args:
        scene: shown to the reader as words.
        prompt: the question, or the request for a caption.
        target: the answer, or the caption.
        family: row of the tables of accuracy.
        trace: objects by role.
        tags: role of each of the prompt's words; empty if unknown.
    """

    scene: Scene
    prompt: str
    target: str
    family: str
    trace: dict[str, frozenset[int]] = field(default_factory=dict)
    tags: tuple[int, ...] = ()


def stream_rng(split: str, seed: int, index: int) -> np.random.Generator:
    """Return the generator of one chunk; no split shares a stream with another, nor with a split of the world."""
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
    """Draw one chunk.

    Args:
        split: names the random stream.
        seed: of the stream.
        index: of the chunk.
        scenes: scenes in the chunk.
        shares: number of questions, captions and look-ups for each scene, under `question`, `caption` and `look_up`.
        objects: the least and the most objects of a scene.
        families: of questions.
    """
    rng = stream_rng(split, seed, index)
    draw = random.Random(int(rng.integers(2**62)))
    balance = Balance()
    chunk: list[Lesson] = []
    for _ in range(scenes):
        scene = check(sample_scene(rng, objects=objects))
        record = symbolic(scene)
        for question in draw_questions(record, draw, balance, number=shares["question"], families=families):
            roles = trace(question.program, record)
            word_tags = tuple(tags(question.text, question.family))
            chunk.append(Lesson(scene, question.text, question.answer, question.family, roles, word_tags))
        for order in draw.sample(list(ORDERS), shares["caption"]):
            text = caption(scene, order)
            chunk.append(Lesson(scene, caption_prompt(order), text, "caption", _ranks(scene, order)))
        chunk.extend(_look_up(scene, draw) for _ in range(shares["look_up"]))
    return chunk


def symbolic(scene: Scene) -> dict[str, Any]:
    """Return what CLEVR's programs read of a scene: attributes and relationships."""
    things = [{name: getattr(o, name) for name in ATTRIBUTES} for o in scene.objects]
    return {"objects": things, "relationships": relationships(scene)}


def _place(thing: Object) -> str:
    return f"{column(thing.x)} {row(thing.y)}"


def _ranks(scene: Scene, order: str) -> dict[str, frozenset[int]]:
    ordered = sorted(range(len(scene.objects)), key=lambda k: ORDERS[order](scene.objects[k]))
    return {f"rank_{k}": frozenset(ordered[k:]) for k in range(1, len(ordered))}


def _look_up(scene: Scene, draw: random.Random) -> Lesson:
    """Ask for the thing at a place, for the place of a thing, or for the number of things beside a place."""
    index = draw.randrange(len(scene.objects))
    target = scene.objects[index]
    roles = {"asked": frozenset([index])}
    kind = draw.randrange(3)
    if kind == 0:
        words = " ".join(attribute_words(target))
        return Lesson(scene, f"what is at {_place(target)} ?", words, "look_up", roles)
    if kind == 1:
        description: dict[str, str] = {}
        for name in draw.sample(list(ATTRIBUTES), len(ATTRIBUTES)):
            description[name] = getattr(target, name)
            same = [o for o in scene.objects if all(getattr(o, a) == v for a, v in description.items())]
            if len(same) == 1:
                prompt = f"where is the {noun(description)} ?"
                return Lesson(scene, prompt, _place(target), "look_up", roles)
        # An object has a twin: ask about its place instead.
    side = draw.choice(list(DIRECTIONS))
    beside = frozenset(relationships(scene)[side][index])
    prompt = f"how many things are {RELATION_WORDS[side]} {_place(target)} ?"
    return Lesson(scene, prompt, str(len(beside)), "look_up", {"asked": beside})
