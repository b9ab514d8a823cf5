"""CLEVR's functional programs: their semantics, run on a written scene.

Functions and their meaning are those of the CLEVR dataset generator's question engine (Johnson et al. 2017).
A program is a list of steps `{"function", "inputs", "value_inputs"}` in which `inputs` are indices of earlier steps.
"""

from collections.abc import Callable
from typing import Any

from bridgelab.world.scene import ATTRIBUTES

Step = dict[str, Any]


class IllPosed(ValueError):
    """The question has no answer on this scene: `unique` met none or several objects."""


def step(function: str, *inputs: int, value: str | None = None) -> Step:
    """One step of a program as CLEVR v1.0 writes it."""
    return {"function": function, "inputs": list(inputs), "value_inputs": [] if value is None else [value]}


def _unique(scene: dict, things: list[int]) -> int:
    if len(things) != 1:
        raise IllPosed(f"unique needs exactly one object, not {len(things)}.")
    return things[0]


def _filter(attribute: str) -> Callable:
    return lambda scene, things, value: [k for k in things if scene["objects"][k][attribute] == value]


def _same(attribute: str) -> Callable:
    def same(scene: dict, thing: int) -> list[int]:
        value = scene["objects"][thing][attribute]
        return [k for k, o in enumerate(scene["objects"]) if k != thing and o[attribute] == value]

    return same


def _query(attribute: str) -> Callable:
    return lambda scene, thing: scene["objects"][thing][attribute]


FUNCTIONS: dict[str, Callable] = {
    "scene": lambda scene: list(range(len(scene["objects"]))),
    "unique": _unique,
    "relate": lambda scene, thing, side: list(scene["relationships"][side][thing]),
    "union": lambda scene, a, b: sorted(set(a) | set(b)),
    "intersect": lambda scene, a, b: sorted(set(a) & set(b)),
    "count": lambda scene, things: len(things),
    "exist": lambda scene, things: len(things) > 0,
    "equal_integer": lambda scene, a, b: a == b,
    "less_than": lambda scene, a, b: a < b,
    "greater_than": lambda scene, a, b: a > b,
}
for _name in ATTRIBUTES:
    FUNCTIONS[f"filter_{_name}"] = _filter(_name)
    FUNCTIONS[f"same_{_name}"] = _same(_name)
    FUNCTIONS[f"query_{_name}"] = _query(_name)
    FUNCTIONS[f"equal_{_name}"] = lambda scene, a, b: a == b


def run(program: list[Step], scene: dict) -> list[Any]:
    """The value of every step; the last is the answer.

    Args:
        program: steps, each after the steps that it reads.
        scene: a scene as written in CLEVR's layout, with `objects` and `relationships`.
    Raises:
        IllPosed: if `unique` meets none or several objects.
        KeyError: if a function is not CLEVR's.
    """
    values: list[Any] = []
    for s in program:
        values.append(FUNCTIONS[s["function"]](scene, *(values[k] for k in s["inputs"]), *s["value_inputs"]))
    return values


def answer(program: list[Step], scene: dict) -> str:
    """The program's answer as CLEVR v1.0 writes it: 'yes', 'no', a number, or an attribute's value."""
    value = run(program, scene)[-1]
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
