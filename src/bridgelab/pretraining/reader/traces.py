"""How a question is understood: what each of its words is about, and which objects its program finds on the way.

A question's answer is one word, too thin a signal to learn several hops from (binding is what fails). Traces are
dense. For each *role* a set can have in a program, `trace` says which objects are in it, and `tags` which words of the
question tell of it. Linear heads on the T5's encoder learn to tell both, and are then thrown away.
"""

from collections.abc import Sequence

from bridgelab.world.questions.families import HOPS, RELATION_WORDS
from bridgelab.world.questions.program import Step, run
from bridgelab.world.scene import ATTRIBUTES

# found: what a description picks out, 0 to 3 hops into the first or second branch of a program; beside: what stands in
# a relation (or shares an attribute) before it is described; joined: after and/or, or the first of two objects that are
# compared, if the second is like it; asked: what the answer is about; rank_k: named after at least k others in a caption.
ROLES = (
    *(f"found_{branch}_{hop}" for branch in (0, 1) for hop in range(4)),
    *(f"beside_{branch}_{hop}" for branch in (0, 1) for hop in range(1, 4)),
    "joined",
    "asked",
    *(f"rank_{k}" for k in range(1, 10)),
)


def trace(program: Sequence[Step], scene: dict) -> dict[str, frozenset[int]]:
    """The objects of each role that a program has.

    Args:
        program: steps in CLEVR's functions.
        scene: the record that `world.questions.program.run` reads.
    Returns:
        For each role the program has (an entry of ROLES) the objects in its set.
    """
    values = run(list(program), scene)
    found: dict[str, frozenset[int]] = {}
    place: list[tuple[int | str, int]] = []  # branch and hop of each step
    branches = 0
    for step, value in zip(program, values, strict=True):
        function = step["function"]
        before = place[step["inputs"][0]] if step["inputs"] else (0, 0)
        if function == "scene":
            before = (branches, 0)
            branches += 1
        elif function == "relate" or function.startswith("same_"):
            before = (before[0], before[1] + 1)
            found[f"beside_{before[0]}_{before[1]}"] = frozenset(value)
        elif function in ("union", "intersect"):
            before = ("joined", 0)
            found["joined"] = frozenset(value)
        elif function.startswith("filter_"):
            found["joined" if before[0] == "joined" else f"found_{before[0]}_{before[1]}"] = frozenset(value)
        elif function in ("count", "exist") or function.startswith("query_"):
            source = values[step["inputs"][0]]
            asked = frozenset([source] if isinstance(source, int) else source)
            found["asked"] = found.get("asked", frozenset()) | asked
        elif function.startswith("equal_") and function != "equal_integer":
            # By the road that "the same … as" takes: what is like the second, and whether the first is among it.
            first, second = (values[program[k]["inputs"][0]] for k in step["inputs"])
            alike = [thing[function.removeprefix("equal_")] for thing in scene["objects"]]
            like = frozenset(k for k, value in enumerate(alike) if value == alike[second] and k != second)
            found["beside_1_1"], found["joined"] = like, like & {first}
        place.append(before)
    return found


_DESCRIBING = {value for values in ATTRIBUTES.values() for value in values} | {"thing", "things"}
_DESCRIBING |= {f"{shape}s" for shape in ATTRIBUTES["shape"]}
_RELATING = [phrase.split() for phrase in RELATION_WORDS.values()]


def tags(text: str, family: str) -> list[int]:
    """For each word of a question the role that it tells of, an index into ROLES; −1 for words that tell of none.

    A description ("small red cubes") tells of what it picks out, a relation ("left of", "the same color as") of what
    stands in it.
    """
    words = text.split()
    descriptions, relations = _spans(words, sharing=family.startswith(("same_attribute", "comparison")))
    found: list[int] = [-1] * len(words)
    for spans, roles in zip((descriptions, relations), _roles(family), strict=True):
        for span, role in zip(spans, roles, strict=True):
            for k in span:
                found[k] = ROLES.index(role)
    return found


def _spans(words: list[str], sharing: bool) -> tuple[list[range], list[range]]:
    """Where the descriptions stand, and where the relations, "the same … as" among them if `sharing`."""
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
    """The roles of a family's descriptions and of its relations, in the order in which it says them."""
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
