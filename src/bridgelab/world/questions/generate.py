"""Draw questions about a scene: our own wording over CLEVR's functional programs.

A question is kept only if its program is well-posed, no relation in it is idle (`draft`), its words do not give its
answer away (`hints`), and its answer is not over-represented so far (`balance`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.draft import Draft, SceneMasks
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.questions.hints import hints
from bridgelab.world.questions.program import Step, answer
from bridgelab.world.questions.templates import fill


@dataclass(frozen=True)
class Question:
    """A question in words, its functional program, its family (an entry of FAMILIES) and its answer."""

    text: str
    program: tuple[Step, ...]
    family: str
    answer: str


def draw_question(
    scene: dict[str, Any], rng: random.Random, balance: Balance, *, family: str, tries: int = 40
) -> Question | None:
    """Draw one question of a family; return None if `tries` drafts give none that keeps the balance.

    Args:
        scene: a scene in CLEVR's layout, with `objects` and `relationships`.
    """
    masks = SceneMasks(scene)
    for _ in range(tries):
        draft = Draft(masks, rng)
        text = fill(draft, family)
        if text is None:
            continue
        predicted = hints(draft.program)
        if predicted is None:
            continue
        result = answer(draft.program, scene)
        key = (family, draft.program[-1]["function"], predicted)
        if balance.accepts(key, result, rng):
            balance.add(key, result)
            return Question(text, tuple(draft.program), family, result)
    return None


def draw_questions(
    scene: dict[str, Any],
    rng: random.Random,
    balance: Balance,
    *,
    number: int = 10,
    families: Sequence[str] = FAMILIES,
) -> list[Question]:
    """Draw `number` different questions, of those families first that have the fewest so far.

    Return fewer only if the scene has no `number` different questions that keep the balance.
    """
    order = sorted(families, key=lambda family: (balance.families[family], rng.random()))
    drawn: dict[str, Question] = {}
    for family in (*order, *order):
        if len(drawn) == number:
            break
        question = draw_question(scene, rng, balance, family=family)
        if question is not None:
            drawn.setdefault(question.text, question)
    return list(drawn.values())
