"""What a question's own words let one expect of its answer, whatever the scene.

Answers are balanced within each value of `hints`, so that the words of a question alone do not predict its answer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from bridgelab.world.questions.draft import Description
from bridgelab.world.questions.families import OPPOSITE
from bridgelab.world.questions.program import Step
from bridgelab.world.scene import ATTRIBUTES


def hints(program: Sequence[Step]) -> tuple[int, ...] | None:
    """Return a key of what the wording alone reveals of the answer; None if it decides the answer.

    - Exist and count begin with h: log2 of how far the filters shrink a set. "Is there a metal thing" is mostly true and "is there a
      small blue cube" mostly false.
    - A chain of relations adds how many of them point back (negative: on), and how many of the objects named on the way may match
      themselves. "Left of A, which is left of B" leaves less room than "left of A, which is right of B". In the latter, B itself is
      left of A: this answers "is there a cube left of the sphere right of the red cube".
    - Two joined relations add 0 if they point the same way, 1 if opposite ways, 2 if across.
    - A comparison of counts has the difference of both h, within ±2. Other questions have (0,).

    Words give the answer away where one description implies the other, where an object that the question names must be
    among those that it asks about, and where the only object that could match is excluded: "how many other things are
    the same size as the large thing", which is the only large one.
    """
    last = program[-1]["function"]
    if last in ("equal_integer", "less_than", "greater_than"):
        return _integer_comparison(program)
    if last not in ("exist", "count"):
        return (0,)
    halvings = round(_halvings(program, program[-1]["inputs"][0]))
    description, base = _filters(program, program[-1]["inputs"][0])
    function = program[base]["function"]
    if function.startswith("same_"):
        return (halvings,) if _may_share(program, base, description) else None
    if function in ("intersect", "union"):
        return _two_relations(program, base, halvings)
    if function == "relate":
        return _chain(program, base, description, halvings)
    return (halvings,)


def _integer_comparison(program: Sequence[Step]) -> tuple[int, ...] | None:
    counted = [program[k]["inputs"][0] for k in program[-1]["inputs"]]
    one, other = (_filters(program, at)[0].items() for at in counted)
    if one <= other or other <= one:
        return None  # of red things there are never fewer than of red cubes
    difference = round(_halvings(program, counted[0]) - _halvings(program, counted[1]))
    return (max(-2, min(2, difference)),)


def _may_share(program: Sequence[Step], base: int, description: Description) -> bool:
    """Return whether another object than the anchor of a `same_` step may match the description."""
    shared = program[base]["function"].removeprefix("same_")
    anchor = {a: v for a, v in _anchor(program, base)[0].items() if a != shared}
    return not anchor.items() <= description.items()


def _two_relations(program: Sequence[Step], base: int, halvings: int) -> tuple[int, ...]:
    joined = [program[k] for k in program[base]["inputs"]]
    if any(s["function"] != "relate" for s in joined):
        return (halvings,)
    one, other = (s["value_inputs"][0] for s in joined)
    return halvings, 0 if one == other else 1 if one == OPPOSITE[other] else 2


def _chain(
    program: Sequence[Step], base: int, description: Description, halvings: int
) -> tuple[int, ...] | None:
    chain = _relation_chain(program, base)
    if any(description.items() <= inside.items() for inside in chain.inside):
        return None
    if chain.outside is not None and chain.outside.items() <= description.items():
        return None
    fitting = sum(all(inside.get(a, v) == v for a, v in description.items()) for inside in chain.inside)
    return halvings, chain.turns_back, fitting


def _filters(program: Sequence[Step], at: int) -> tuple[Description, int]:
    """Return the description that filters spell on the way back from a step, and the step before them."""
    description: Description = {}
    while program[at]["function"].startswith("filter_"):
        description[program[at]["function"].removeprefix("filter_")] = program[at]["value_inputs"][0]
        at = program[at]["inputs"][0]
    return description, at


def _anchor(program: Sequence[Step], at: int) -> tuple[Description, int]:
    """Return the description of the object that a `relate` or `same_` step starts from, and the step before it."""
    return _filters(program, program[program[at]["inputs"][0]]["inputs"][0])


class RelationChain(NamedTuple):
    """What the relations before a last one, say 'left of A', say about the objects left of A.

    Args:
        turns_back: relations in a row that lead back, or minus those that lead on.
        inside: descriptions of objects that must be left of A.
        outside: description of the chain's first object, the only such one in the scene, if it can't be left of A.
    """

    turns_back: int
    inside: list[Description]
    outside: Description | None


def _relation_chain(program: Sequence[Step], at: int) -> RelationChain:
    """Follow the chain back from the `relate` step at `at`, as long as it leads one way."""
    side = program[at]["value_inputs"][0]
    turns_back, inside = 0, []
    description, at = _anchor(program, at)
    while program[at]["function"] == "relate":
        back = program[at]["value_inputs"][0] == OPPOSITE[side]
        if (not back and program[at]["value_inputs"][0] != side) or turns_back * (1 if back else -1) < 0:
            break
        description, at = _anchor(program, at)
        turns_back += 1 if back else -1
        if back:
            inside.append(description)
    at_start = program[at]["function"] == "scene"
    return RelationChain(turns_back, inside, description if at_start and turns_back <= 0 else None)


def _halvings(program: Sequence[Step], at: int) -> float:
    """Return log2 of how the filters before a step shrink a set, back to where the program branches or moves on."""
    halvings = 0.0
    while True:
        function = program[at]["function"]
        if function.startswith(("filter_", "same_")):
            halvings += math.log2(len(ATTRIBUTES[function.partition("_")[2]]))
        if not function.startswith("filter_"):
            if function == "union":  # the likelier of two descriptions
                halvings += min(_halvings(program, k) for k in program[at]["inputs"])
            return halvings
        at = program[at]["inputs"][0]
