"""Templates: for each family, the program and the wording of a question. The wording is our own."""

from bridgelab.world.questions.draft import Draft, noun
from bridgelab.world.questions.families import HOPS
from bridgelab.world.scene import ATTRIBUTES

INTEGER_COMPARISONS = {
    "compare_integer_equal": ("equal_integer", "are there as many {a} as {b} ?"),
    "compare_integer_less": ("less_than", "are there fewer {a} than {b} ?"),
    "compare_integer_greater": ("greater_than", "are there more {a} than {b} ?"),
}


def fill(draft: Draft, family: str) -> str | None:
    """Write a question of a family into the draft's program, and return its text; None if the choices fit none."""
    if family in INTEGER_COMPARISONS:
        return _compare_integer(draft, family)
    if family.startswith("comparison"):
        return _compare_attribute(draft, hops=int(family.endswith("one_hop")))
    if family == "single_or_count":
        return _count_either(draft)
    if family == "single_or_relate_count":
        return _two_relations(draft, "union", "or", "count")
    structure, _, kind = family.rpartition("_")
    if structure == "single_and":
        return _two_relations(draft, "intersect", "and", kind)
    if structure == "same_attribute":
        return _same_attribute(draft, kind)
    return _chain(draft, HOPS.index(structure), kind)


def _chain(draft: Draft, hops: int, kind: str) -> str | None:
    """Ask about objects over a chain of `hops` relations."""
    if hops == 0:
        return draft.finish(kind, draft.add("scene"), draft.masks.all, "")
    near = draft.neighbours(hops)
    return None if near is None else draft.finish(kind, near.step, near.mask, near.words)


def _same_attribute(draft: Draft, kind: str) -> str | None:
    """Ask about the other objects that share an attribute with one."""
    anchor = draft.referent(0)
    if anchor is None:
        return None
    attribute = draft.rng.choice(list(ATTRIBUTES))
    at = draft.add(f"same_{attribute}", anchor.step)
    value = draft.masks.objects[anchor.target][attribute]
    among = draft.masks.having[attribute, value] & ~(1 << anchor.target)
    before = len(draft.program)
    text = draft.finish(kind, at, among, f"the same {attribute} as {anchor.words}", other="other ")
    # A filter or query on the shared attribute would be idle.
    if any(s["function"] in (f"filter_{attribute}", f"query_{attribute}") for s in draft.program[before:]):
        return None
    return text


def _two_relations(draft: Draft, function: str, conjunction: str, kind: str) -> str | None:
    """Ask about objects in two relations, to two anchors, joined by `intersect` (and) or `union` (or)."""
    first = draft.neighbours(1)
    second = None if first is None else draft.neighbours(1)
    if first is None or second is None or first.words == second.words:
        return None
    among = first.mask & second.mask if function == "intersect" else first.mask | second.mask
    at = draft.add(function, first.step, second.step)
    where = f"{first.words} {conjunction} {second.words}"
    return draft.finish(kind, at, among, where, relaxed=(first.mask, second.mask))


def _count_either(draft: Draft) -> str | None:
    """Count the objects that match one of two descriptions."""
    one, two = (draft.some_description(draft.masks.all, least=1) for _ in range(2))
    a, b = (draft.masks.matching(d, draft.masks.all) for d in (one, two))
    if a | b in (a, b):
        return None
    union = draft.add(
        "union", draft.filtered(draft.add("scene"), one), draft.filtered(draft.add("scene"), two)
    )
    draft.add("count", union)
    return f"{draft.rng.choice(('how many', 'what number of'))} things are {noun(one, True)} or {noun(two, True)} ?"


def _compare_attribute(draft: Draft, hops: int) -> str | None:
    """Ask whether two objects share an attribute."""
    first = draft.referent(hops)
    second = None if first is None else draft.referent(0)
    if first is None or second is None or first.target == second.target:
        return None
    attribute = draft.rng.choice(list(ATTRIBUTES))
    if any(s["function"] == f"filter_{attribute}" for s in draft.program):
        return None  # the question itself names the attribute
    a, b = (draft.add(f"query_{attribute}", referent.step) for referent in (first, second))
    draft.add(f"equal_{attribute}", a, b)
    return draft.rng.choice(
        (
            f"is {first.words} the same {attribute} as {second.words} ?",
            f"do {first.words} and {second.words} have the same {attribute} ?",
        )
    )


def _compare_integer(draft: Draft, family: str) -> str | None:
    """Ask which of two descriptions matches more objects, or whether both match as many."""
    function, form = INTEGER_COMPARISONS[family]
    one, two = (draft.some_description(draft.masks.all, least=1) for _ in range(2))
    if one == two:
        return None
    counts = [draft.add("count", draft.filtered(draft.add("scene"), d)) for d in (one, two)]
    draft.add(function, *counts)
    return form.format(a=noun(one, True), b=noun(two, True))
