"""A question while it is drawn: its program so far, and random choices about one scene.

A relation is idle if the same objects match without it: with the whole scene in its place or, of two that are joined, by the other
alone. CLEVR compares answers. We compare sets, because the 'yes' of "is there a …" stays 'yes' among more objects, so that by CLEVR's
rule such a question would always be rejected.

Sets of objects are bit masks: bit k is object k.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from bridgelab.world.questions.families import RELATION_WORDS
from bridgelab.world.questions.program import Step, step
from bridgelab.world.scene import ATTRIBUTES, DIRECTIONS

Description = dict[str, str]  # attribute -> value


def noun(description: Description, plural: bool = False) -> str:
    """Return 'small red metal cube', 'large things': attributes in the usual order, 'thing' without a shape."""
    words = [description[a] for a in ATTRIBUTES if a in description and a != "shape"]
    words.append(description.get("shape", "thing") + ("s" if plural else ""))
    return " ".join(words)


class SceneMasks:
    """A scene as bit masks: which objects have which attribute, and which stand in which relation to an object.

    Args:
        scene: a scene in CLEVR's layout, with `objects` and `relationships`.
    """

    def __init__(self, scene: dict[str, Any]):
        self.objects = scene["objects"]
        self.all = (1 << len(self.objects)) - 1
        self.having: dict[tuple[str, str], int] = defaultdict(int)
        for k, thing in enumerate(self.objects):
            for name in ATTRIBUTES:
                self.having[name, thing[name]] |= 1 << k
        self.related = {
            side: [sum(1 << j for j in related) for related in scene["relationships"][side]]
            for side in DIRECTIONS
        }

    def matching(self, description: Description, among: int) -> int:
        """Return the objects of `among` that have all attributes of the description."""
        for item in description.items():
            among &= self.having.get(item, 0)
        return among


def members(mask: int) -> list[int]:
    """Return the indices of the objects in a mask."""
    return [k for k in range(mask.bit_length()) if mask >> k & 1]


class Referent(NamedTuple):
    """One object that the question refers to: its program step, its words, its index."""

    step: int
    words: str
    target: int


class Neighbours(NamedTuple):
    """The objects in a relation to a referent: their program step, their words, their mask."""

    step: int
    words: str
    mask: int


class Draft:
    """One question in the making."""

    def __init__(self, masks: SceneMasks, rng: random.Random):
        self.masks, self.rng = masks, rng
        self.program: list[Step] = []

    def add(self, function: str, *inputs: int, value: str | None = None) -> int:
        """Append a step and return its index."""
        self.program.append(step(function, *inputs, value=value))
        return len(self.program) - 1

    def filtered(self, at: int, description: Description) -> int:
        """Append a filter per attribute after step `at`, and return the index of the last."""
        for name in ATTRIBUTES:
            if name in description:
                at = self.add(f"filter_{name}", at, value=description[name])
        return at

    def some_description(self, among: int, least: int = 0) -> Description:
        """Draw up to two attributes, mostly of an object in `among`, so that answers are not all 'no' and '0'."""
        names = self.rng.sample(list(ATTRIBUTES), max(least, self.rng.choice((1, 1, 2))))
        if among and self.rng.random() < 0.7:
            model = self.masks.objects[self.rng.choice(members(among))]
            return {a: model[a] for a in names}
        return {a: self.rng.choice(ATTRIBUTES[a]) for a in names}

    def single_out(self, target: int, among: int, avoid: str | None = None) -> Description | None:
        """Add attributes in random order until only `target` matches `among`; return None if none suffice."""
        thing = self.masks.objects[target]
        description: Description = {}
        names = [a for a in ATTRIBUTES if a != avoid]
        for name in self.rng.sample(names, len(names)):
            description[name] = thing[name]
            if self.masks.matching(description, among).bit_count() == 1:
                return description
        return None

    def referent(self, hops: int) -> Referent | None:
        """Describe exactly one object, over `hops` relations."""
        if hops == 0:
            target = self.rng.randrange(len(self.masks.objects))
            description = self.single_out(target, self.masks.all)
            if description is None:
                return None
            at = self.filtered(self.add("scene"), description)
            return Referent(self.add("unique", at), "the " + noun(description), target)
        near = self.neighbours(hops)
        if near is None:
            return None
        picked = self.pick(near.mask)
        if picked is None:
            return None
        description, target = picked
        at = self.add("unique", self.filtered(near.step, description))
        return Referent(at, f"the {noun(description)} {near.words}", target)

    def neighbours(self, hops: int) -> Neighbours | None:
        """Describe the objects in a relation to an object that is `hops` − 1 relations away."""
        anchor = self.referent(hops - 1)
        if anchor is None:
            return None
        side = self.rng.choice(list(DIRECTIONS))
        at = self.add("relate", anchor.step, value=side)
        return Neighbours(
            at, f"{RELATION_WORDS[side]} {anchor.words}", self.masks.related[side][anchor.target]
        )

    def pick(
        self, among: int, avoid: str | None = None, relaxed: Sequence[int] = ()
    ) -> tuple[Description, int] | None:
        """Pick one object by a description that singles it out `among` these, but not without a relation.

        Args:
            among: objects to pick from.
            avoid: attribute that the description leaves out.
            relaxed: what `among` would be without one of its relations, each.
        """
        if not among:
            return None
        target = self.rng.choice(members(among))
        description = self.single_out(target, among, avoid)
        if description is None or self.idle(description, among, relaxed):
            return None
        return description, target

    def idle(self, description: Description, among: int, relaxed: Sequence[int] = ()) -> bool:
        """Return whether the same objects match `among` these as in the whole scene, or in a set of `relaxed`.

        This is right for counts too: each set of `relaxed` contains `among` or is contained in it, so equal counts mean equal sets.
        """
        matches = self.masks.matching(description, among)
        return any(self.masks.matching(description, mask) == matches for mask in (self.masks.all, *relaxed))

    def finish(
        self, kind: str, at: int, among: int, where: str, other: str = "", relaxed: Sequence[int] = ()
    ) -> str | None:
        """Append the steps of an exist, count or query question, and return its text; None if a relation is idle.

        Args:
            kind: one of `families.KINDS`.
            at: step whose value is `among`.
            among: objects that the question is about.
            where: words that say which these are.
            other: 'other ' where the question excludes its own anchor.
            relaxed: what `among` would be without one of its relations, each.
        """
        if kind == "query":
            return self._finish_query(at, among, where, other, relaxed)
        description = self.some_description(among, least=0 if where else 1)
        if where and self.idle(description, among, relaxed):
            return None
        self.add(kind, self.filtered(at, description))
        things = f"{other}{noun(description, plural=True)}"
        if kind == "count":
            predicate = f"are {where}" if where else "are there"
            return f"{self.rng.choice(('how many', 'what number of'))} {things} {predicate} ?"
        one = f"an{other}{noun(description)}" if other else f"a {noun(description)}"
        many = f"are there any {things} {where}".strip() + " ?"
        return self.rng.choice((f"is there {one} {where}".strip() + " ?", many))

    def _finish_query(
        self, at: int, among: int, where: str, other: str, relaxed: Sequence[int]
    ) -> str | None:
        attribute = self.rng.choice(list(ATTRIBUTES))
        if where:
            picked = self.pick(among, avoid=attribute, relaxed=relaxed)
            description = picked[0] if picked else None
        else:
            description = self.single_out(self.rng.choice(members(among)), among, avoid=attribute)
        if description is None:
            return None
        self.add(f"query_{attribute}", self.add("unique", self.filtered(at, description)))
        phrase = f"the {other}{noun(description)} {where}".strip()
        return self.rng.choice((f"what {attribute} is {phrase} ?", f"{phrase} is what {attribute} ?"))
