"""Dense supervision of readers: what each word of a question is about, and which objects its program selects on the way.

The answer is one word, too sparse a signal to learn several hops from: what fails is binding.
For each *role* that a set can have in a program, `trace` returns which objects are in it, and `tags` which words of the
question describe it. Linear heads on the T5's encoder learn to predict both (`trace_heads`).
"""

from collections.abc import Sequence
from typing import Any

from bridgelab.world.questions.families import HOPS, RELATION_WORDS
from bridgelab.world.questions.program import Step, run
from bridgelab.world.scene import ATTRIBUTES

# found: what a description selects, 0 to 3 hops into the first or second branch of a program.
# beside: what stands in a relation (or shares an attribute), before it is described.
# joined: after and/or; or the first of two compared objects, if the second is like it.
# asked: what the answer is about.
# rank_k: named after at least k others in a caption.
ROLES = (
    *(f"found_{branch}_{hop}" for branch in (0, 1) for hop in range(4)),
    *(f"beside_{branch}_{hop}" for branch in (0, 1) for hop in range(1, 4)),
    "joined",
    "asked",
    *(f"rank_{k}" for k in range(1, 10)),
)


def trace(program: Sequence[Step], scene: dict[str, Any]) -> dict[str, frozenset[int]]:
    """Return the objects of each role that a program has.

    Args:
        program: steps in CLEVR's functions.
        scene: the record that `world.questions.program.run` reads.
    Returns:
        Indices of objects, by role (an entry of ROLES).
    """
    values = run(program, scene)
    roles: dict[str, frozenset[int]] = {}
    places: list[tuple[int | str, int]] = []  # branch and hop of each step
    branches = 0
    for step, value in zip(program, values, strict=True):
        function = step["function"]
        place = places[step["inputs"][0]] if step["inputs"] else (0, 0)
        if function == "scene":
            place = (branches, 0)
            branches += 1
        elif function == "relate" or function.startswith("same_"):
            place = (place[0], place[1] + 1)
            roles[f"beside_{place[0]}_{place[1]}"] = frozenset(value)
        elif function in ("union", "intersect"):
            place = ("joined", 0)
            roles["joined"] = frozenset(value)
        elif function.startswith("filter_"):
            roles["joined" if place[0] == "joined" else f"found_{place[0]}_{place[1]}"] = frozenset(value)
        elif function in ("count", "exist") or function.startswith("query_"):
            source = values[step["inputs"][0]]
            objects = frozenset([source] if isinstance(source, int) else source)
            roles["asked"] = roles.get("asked", frozenset()) | objects
        elif function.startswith("equal_") and function != "equal_integer":
            # As "the same … as": the objects like the second, and whether the first is among them.
            first, second = (values[program[k]["inputs"][0]] for k in step["inputs"])
            attribute = [thing[function.removeprefix("equal_")] for thing in scene["objects"]]
            like = frozenset(k for k, v in enumerate(attribute) if v == attribute[second] and k != second)
            roles["beside_1_1"], roles["joined"] = like, like & {first}
        places.append(place)
    return roles


_DESCRIBING = {value for values in ATTRIBUTES.values() for value in values} | {"thing", "things"}
_DESCRIBING |= {f"{shape}s" for shape in ATTRIBUTES["shape"]}
_RELATING = [phrase.split() for phrase in RELATION_WORDS.values()]


def tags(text: str, family: str) -> list[int]:
    """Return, for each word of a question, its role as an index into ROLES; −1 for words without a role.

    The words of a description ("small red cubes") have the role of what it selects, those of a relation ("left of",
    "the same color as") the role of what stands in it.
    """
    words = text.split()
    descriptions, relations = _spans(words, sharing=family.startswith(("same_attribute", "comparison")))
    word_roles: list[int] = [-1] * len(words)
    for spans, roles in zip((descriptions, relations), _roles(family), strict=True):
        for span, role in zip(spans, roles, strict=True):
            for k in span:
                word_roles[k] = ROLES.index(role)
    return word_roles


def _spans(words: list[str], sharing: bool) -> tuple[list[range], list[range]]:
    """Return the spans of the descriptions and of the relations; if `sharing`, "the same … as" is a relation."""
    descriptions: list[range] = []
    relations: list[range] = []
    k = 0
    while k < len(words):
        end = k
        while end < len(words) and words[end] in _DESCRIBING:
            end += 1
        relating = next((r for r in _RELATING if words[k : k + len(r)] == r), None)
        if end > k:
            descriptions.append(range(k, end))
            k = end
        elif relating or (sharing and words[k] == "same"):
            length = len(relating) if relating else 3
            relations.append(range(k, k + length))
            k += length
        else:
            k += 1
    return descriptions, relations


def _roles(family: str) -> tuple[list[str], list[str]]:
    """Return the roles of a family's descriptions and of its relations, in the order of the text."""
    structure, _, _ = family.rpartition("_")
    if structure in HOPS:
        hops = HOPS.index(structure)
        back = range(hops, -1, -1)
        return [f"found_0_{h}" for h in back], [f"beside_0_{h}" for h in back if h]
    if structure == "same_attribute":
        return ["found_0_1", "found_0_0"], ["beside_0_1"]
    if structure == "single_and" or family == "single_or_relate_count":
        return ["joined", "found_0_0", "found_1_0"], ["beside_0_1", "beside_1_1"]
    if family == "single_or_count":
        return ["joined", "found_0_0", "found_1_0"], []
    if family == "comparison_one_hop":
        return ["found_0_1", "found_0_0", "found_1_0"], ["beside_0_1", "beside_1_1"]
    return ["found_0_0", "found_1_0"], ["beside_1_1"] if family == "comparison" else []
