"""CLEVR's functional programs: their semantics, run on a scene in CLEVR's layout.

Functions and their meaning are those of the CLEVR dataset generator's question engine (Johnson et al. 2017).
A program is a list of steps `{"function", "inputs", "value_inputs"}` in which `inputs` are indices of earlier steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bridgelab.world.scene import ATTRIBUTES

Step = dict[str, Any]


class IllPosed(ValueError):
    """The question has no answer on this scene: `unique` met none or several objects."""


def step(function: str, *inputs: int, value: str | None = None) -> Step:
    """Return one step of a program in the layout of CLEVR v1.0."""
    return {"function": function, "inputs": list(inputs), "value_inputs": [] if value is None else [value]}


def _unique(scene: dict, objects: list[int]) -> int:
    if len(objects) != 1:
        raise IllPosed(f"unique needs exactly one object, not {len(objects)}.")
    return objects[0]


def _filter(attribute: str) -> Callable:
    return lambda scene, objects, value: [k for k in objects if scene["objects"][k][attribute] == value]


def _same(attribute: str) -> Callable:
    def same(scene: dict, anchor: int) -> list[int]:
        value = scene["objects"][anchor][attribute]
        return [k for k, o in enumerate(scene["objects"]) if k != anchor and o[attribute] == value]

    return same


def _query(attribute: str) -> Callable:
    return lambda scene, index: scene["objects"][index][attribute]


FUNCTIONS: dict[str, Callable] = {
    "scene": lambda scene: list(range(len(scene["objects"]))),
    "unique": _unique,
    "relate": lambda scene, anchor, side: list(scene["relationships"][side][anchor]),
    "union": lambda scene, a, b: sorted(set(a) | set(b)),
    "intersect": lambda scene, a, b: sorted(set(a) & set(b)),
    "count": lambda scene, objects: len(objects),
    "exist": lambda scene, objects: len(objects) > 0,
    "equal_integer": lambda scene, a, b: a == b,
    "less_than": lambda scene, a, b: a < b,
    "greater_than": lambda scene, a, b: a > b,
}
for _name in ATTRIBUTES:
    FUNCTIONS[f"filter_{_name}"] = _filter(_name)
    FUNCTIONS[f"same_{_name}"] = _same(_name)
    FUNCTIONS[f"query_{_name}"] = _query(_name)
    FUNCTIONS[f"equal_{_name}"] = lambda scene, a, b: a == b


def run(program: Sequence[Step], scene: dict[str, Any]) -> list[Any]:
    """Return the value of every step; the last is the answer.

    Args:
        program: steps, each after the steps that it reads.
        scene: a scene in CLEVR's layout, with `objects` and `relationships`.
    Raises:
        IllPosed: if `unique` meets none or several objects.
        KeyError: if a function is not CLEVR's.
    """
    values: list[Any] = []
    for each in program:
        inputs = [values[k] for k in each["inputs"]]
        values.append(FUNCTIONS[each["function"]](scene, *inputs, *each["value_inputs"]))
    return values


def answer(program: Sequence[Step], scene: dict[str, Any]) -> str:
    """Return the program's answer in CLEVR v1.0's words: 'yes', 'no', a number, or an attribute's value."""
    value = run(program, scene)[-1]
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
