"""Questions about a scene: templates of our own wording over CLEVR's functional programs.

Each family below is a way of reasoning; a question is drawn by choosing objects that its description picks out,
and is kept only if its program is well-posed, no relation in it is idle, and its answer is not over-represented
in its family so far (balance by rejection, as in Johnson et al. 2017, arXiv:1612.06890, §3).

A relation is idle if the question has the same answer without it: with the whole scene in its place (CLEVR's rule), or,
of two that are joined, by the other alone. One exception: the 'yes' of "is there a …" stays 'yes' among more objects,
so by this rule the answer would always be 'no'. There, each relation must change which objects are found.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridgelab.world.questions.program import Step, answer, step
from bridgelab.world.scene import ATTRIBUTES, DIRECTIONS

OPPOSITE = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
RELATION_WORDS = {"left": "left of", "right": "right of", "front": "in front of", "behind": "behind"}
HOPS = ("zero_hop", "one_hop", "two_hop", "three_hop", "four_hop", "five_hop")
KINDS = ("exist", "count", "query")
FAMILIES = (
    *(f"{hop}_{kind}" for hop in HOPS[:4] for kind in KINDS),  # longer ones are asked where a split says so
    *(f"same_attribute_{kind}" for kind in KINDS),
    *(f"single_and_{kind}" for kind in KINDS),
    "single_or_count",
    "single_or_relate_count",
    "comparison",
    "comparison_one_hop",
    "compare_integer_equal",
    "compare_integer_less",
    "compare_integer_greater",
)
INTEGER_COMPARISONS = {
    "compare_integer_equal": ("equal_integer", "are there as many {a} as {b} ?"),
    "compare_integer_less": ("less_than", "are there fewer {a} than {b} ?"),
    "compare_integer_greater": ("greater_than", "are there more {a} than {b} ?"),
}
Description = dict[str, str]


@dataclass(frozen=True)
class Question:
    """A question in words, its functional program, its family (an entry of FAMILIES) and its answer."""

    text: str
    program: tuple[Step, ...]
    family: str
    answer: str


def noun(description: Description, plural: bool = False) -> str:
    """'small red metal cube', 'large things': attributes in the usual order, 'thing' where no shape is said."""
    words = [description[a] for a in ATTRIBUTES if a in description and a != "shape"]
    words.append(description.get("shape", "thing") + ("s" if plural else ""))
    return " ".join(words)


class _View:
    """A scene as bit masks: which objects have which attribute, and which stand where, for quick choices."""

    def __init__(self, scene: dict):
        self.objects = scene["objects"]
        self.all = (1 << len(self.objects)) - 1
        self.having: dict[tuple[str, str], int] = defaultdict(int)
        for k, thing in enumerate(self.objects):
            for name in ATTRIBUTES:
                self.having[name, thing[name]] |= 1 << k
        self.related = {
            side: [sum(1 << j for j in found) for found in scene["relationships"][side]]
            for side in DIRECTIONS
        }

    def extension(self, description: Description, among: int) -> int:
        for item in description.items():
            among &= self.having.get(item, 0)
        return among


def _members(mask: int) -> list[int]:
    return [k for k in range(mask.bit_length()) if mask >> k & 1]


class _Draft:
    """One question in the making: its program so far, and random choices about one scene."""

    def __init__(self, view: _View, rng: random.Random):
        self.view, self.rng = view, rng
        self.program: list[Step] = []

    def add(self, function: str, *inputs: int, value: str | None = None) -> int:
        self.program.append(step(function, *inputs, value=value))
        return len(self.program) - 1

    def filtered(self, at: int, description: Description) -> int:
        for name in ATTRIBUTES:
            if name in description:
                at = self.add(f"filter_{name}", at, value=description[name])
        return at

    def some_description(self, among: int, avoid: str | None = None, least: int = 0) -> Description:
        """Up to two attributes, mostly those of an object that is there, so that answers are not all 'no' and '0'."""
        names = self.rng.sample([a for a in ATTRIBUTES if a != avoid], max(least, self.rng.choice((1, 1, 2))))
        if among and self.rng.random() < 0.7:
            model = self.view.objects[self.rng.choice(_members(among))]
            return {a: model[a] for a in names}
        return {a: self.rng.choice(ATTRIBUTES[a]) for a in names}

    def single_out(self, target: int, among: int, avoid: str | None = None) -> Description | None:
        """Attributes, added in random order, until `target` is the only one `among` them that fits; else None."""
        thing = self.view.objects[target]
        description: Description = {}
        for name in self.rng.sample(
            [a for a in ATTRIBUTES if a != avoid], len(ATTRIBUTES) - (avoid is not None)
        ):
            description[name] = thing[name]
            if self.view.extension(description, among).bit_count() == 1:
                return description
        return None

    def referent(self, hops: int) -> tuple[int, str, int] | None:
        """Exactly one object, reached over `hops` relations: (program index, words, object)."""
        if hops == 0:
            target = self.rng.randrange(len(self.view.objects))
            description = self.single_out(target, self.view.all)
            if description is None:
                return None
            at = self.filtered(self.add("scene"), description)
            return self.add("unique", at), "the " + noun(description), target
        near = self.beside(hops)
        if near is None:
            return None
        at, words, candidates = near
        picked = self.pick(candidates)
        if picked is None:
            return None
        description, target = picked
        at = self.add("unique", self.filtered(at, description))
        return at, f"the {noun(description)} {words}", target

    def beside(self, hops: int) -> tuple[int, str, int] | None:
        """The objects in a relation to one that is `hops` − 1 relations away: (program index, words, mask)."""
        anchor = self.referent(hops - 1)
        if anchor is None:
            return None
        at, words, target = anchor
        side = self.rng.choice(list(DIRECTIONS))
        return (
            self.add("relate", at, value=side),
            f"{RELATION_WORDS[side]} {words}",
            self.view.related[side][target],
        )

    def pick(
        self, among: int, avoid: str | None = None, without: Sequence[int] = ()
    ) -> tuple[Description, int] | None:
        """One of some objects, by a description that would not single it out in the whole scene, nor in `without`."""
        if not among:
            return None
        target = self.rng.choice(_members(among))
        description = self.single_out(target, among, avoid)
        if description is None or self.idle(description, among, without):
            return None
        return description, target

    def idle(self, description: Description, among: int, without: Sequence[int] = ()) -> bool:
        """Whether the description finds the same objects `among` these as in the whole scene, or in one of `without`.

        Sets decide for counts too: each of these either holds `among` or is held by it.
        """
        found = self.view.extension(description, among)
        return any(self.view.extension(description, mask) == found for mask in (self.view.all, *without))

    def ask(
        self, kind: str, at: int, among: int, where: str, other: str = "", without: Sequence[int] = ()
    ) -> str | None:
        """Finish with exist, count or query about objects `among`; `where` says in words which these are.

        Args:
            without: what `among` would be without one of its relations, each.
        """
        rng = self.rng
        if kind == "query":
            attribute = rng.choice(list(ATTRIBUTES))
            if where:
                picked = self.pick(among, avoid=attribute, without=without)
            else:
                target = rng.choice(_members(among))
                description = self.single_out(target, among, avoid=attribute)
                picked = None if description is None else (description, target)
            if picked is None:
                return None
            self.add(f"query_{attribute}", self.add("unique", self.filtered(at, picked[0])))
            phrase = f"the {other}{noun(picked[0])} {where}".strip()
            return rng.choice((f"what {attribute} is {phrase} ?", f"{phrase} is what {attribute} ?"))
        description = self.some_description(among, least=0 if where else 1)
        if where and self.idle(description, among, without):
            return None
        self.add(kind, self.filtered(at, description))
        if kind == "count":
            things = f"{other}{noun(description, plural=True)}"
            asked = f"are {where}" if where else "are there"
            return f"{rng.choice(('how many', 'what number of'))} {things} {asked} ?"
        one = f"an{other}{noun(description)}" if other else f"a {noun(description)}"
        many = f"are there any {other}{noun(description, plural=True)} {where}".strip() + " ?"
        return rng.choice((f"is there {one} {where}".strip() + " ?", many))


def _hop(draft: _Draft, hops: int, kind: str) -> str | None:
    if hops == 0:
        return draft.ask(kind, draft.add("scene"), draft.view.all, "")
    near = draft.beside(hops)
    return None if near is None else draft.ask(kind, near[0], near[2], near[1])


def _same_attribute(draft: _Draft, kind: str) -> str | None:
    anchor = draft.referent(0)
    if anchor is None:
        return None
    at, words, target = anchor
    attribute = draft.rng.choice(list(ATTRIBUTES))
    at = draft.add(f"same_{attribute}", at)
    among = draft.view.having[attribute, draft.view.objects[target][attribute]] & ~(1 << target)
    before = len(draft.program)
    text = draft.ask(kind, at, among, f"the same {attribute} as {words}", other="other ")
    # A filter or query on the shared attribute would be idle.
    if any(s["function"] in (f"filter_{attribute}", f"query_{attribute}") for s in draft.program[before:]):
        return None
    return text


def _relations(draft: _Draft, joined: str, word: str, kind: str) -> str | None:
    """Two relations, to two anchors, joined by `intersect` (and) or `union` (or)."""
    first = draft.beside(1)
    second = None if first is None else draft.beside(1)
    if first is None or second is None or first[1] == second[1]:
        return None
    a, b = first[2], second[2]
    both = a & b if joined == "intersect" else a | b
    at = draft.add(joined, first[0], second[0])
    return draft.ask(kind, at, both, f"{first[1]} {word} {second[1]}", without=(a, b))


def _either(draft: _Draft) -> str | None:
    one, two = (draft.some_description(draft.view.all, least=1) for _ in range(2))
    a, b = (draft.view.extension(d, draft.view.all) for d in (one, two))
    if a | b in (a, b):
        return None
    union = draft.add(
        "union", draft.filtered(draft.add("scene"), one), draft.filtered(draft.add("scene"), two)
    )
    draft.add("count", union)
    return f"{draft.rng.choice(('how many', 'what number of'))} things are {noun(one, True)} or {noun(two, True)} ?"


def _comparison(draft: _Draft, hops: int) -> str | None:
    first = draft.referent(hops)
    second = None if first is None else draft.referent(0)
    if first is None or second is None or first[2] == second[2]:
        return None
    # Not an attribute that the question itself says of both.
    attribute = draft.rng.choice(list(ATTRIBUTES))
    said = [s["function"] for s in draft.program].count(f"filter_{attribute}")
    if said:
        return None
    a, b = (draft.add(f"query_{attribute}", r[0]) for r in (first, second))
    draft.add(f"equal_{attribute}", a, b)
    return draft.rng.choice(
        (
            f"is {first[1]} the same {attribute} as {second[1]} ?",
            f"do {first[1]} and {second[1]} have the same {attribute} ?",
        )
    )


def _compare_integer(draft: _Draft, family: str) -> str | None:
    function, form = INTEGER_COMPARISONS[family]
    one, two = (draft.some_description(draft.view.all, least=1) for _ in range(2))
    if one == two:
        return None
    counts = [draft.add("count", draft.filtered(draft.add("scene"), d)) for d in (one, two)]
    draft.add(function, *counts)
    return form.format(a=noun(one, True), b=noun(two, True))


def _write(draft: _Draft, family: str) -> str | None:
    if family.startswith("compare_integer"):
        return _compare_integer(draft, family)
    if family.startswith("comparison"):
        return _comparison(draft, hops=int(family.endswith("one_hop")))
    if family == "single_or_count":
        return _either(draft)
    if family == "single_or_relate_count":
        return _relations(draft, "union", "or", "count")
    structure, _, kind = family.rpartition("_")
    if structure == "single_and":
        return _relations(draft, "intersect", "and", kind)
    if structure == "same_attribute":
        return _same_attribute(draft, kind)
    return _hop(draft, HOPS.index(structure), kind)


def hints(program: Sequence[Step]) -> tuple[int, ...] | None:
    """What a question's own words let one expect of its answer; None where they give it away.

    Answers are balanced within each value of this, so that the words of a question alone do not tell its answer:

    - How few objects its description names, in halvings; for a comparison of counts, of one against the other. "Is there a metal
      thing" is mostly true and "is there a small blue cube" mostly false, whatever the scene.
    - Whether its relations lead on or back. Left of A, which is left of B, is less room than left of A, which is right of B; and in
      the latter B itself is, with all that is said of it: "is there a cube left of the sphere right of the red cube" is answered.
    - Whether two relations that are joined look the same way, are opposite or across.

    And what only the object that a description starts from can be, nothing else is: "how many other things are the same size as the
    large thing", which is the only large one.
    """
    last = program[-1]["function"]
    if last in ("equal_integer", "less_than", "greater_than"):
        counted = [program[k]["inputs"][0] for k in program[-1]["inputs"]]
        one, other = (_filters(program, at)[0].items() for at in counted)
        if one <= other or other <= one:
            return None  # of red things there are never fewer than of red cubes
        return (max(-2, min(2, round(_expected(program, counted[0]) - _expected(program, counted[1])))),)
    if last not in ("exist", "count"):
        return (0,)
    halvings = round(_expected(program, program[-1]["inputs"][0]))
    description, base = _filters(program, program[-1]["inputs"][0])
    function = program[base]["function"]
    if function.startswith("same_"):
        shared = function.removeprefix("same_")
        said = {a: v for a, v in _anchor(program, base)[0].items() if a != shared}
        return None if said.items() <= description.items() else (halvings,)
    if function in ("intersect", "union") and all(
        program[k]["function"] == "relate" for k in program[base]["inputs"]
    ):
        one, other = (program[k]["value_inputs"][0] for k in program[base]["inputs"])
        return halvings, 0 if one == other else 1 if one == OPPOSITE[other] else 2
    if function != "relate":
        return (halvings,)
    lean, inside, outside = _lean(program, base)
    if any(description.items() <= said.items() for said in inside):
        return None
    if outside is not None and outside.items() <= description.items():
        return None
    fitting = sum(all(said.get(a, v) == v for a, v in description.items()) for said in inside)
    return halvings, lean, fitting


def _filters(program: Sequence[Step], at: int) -> tuple[Description, int]:
    """The description that filters spell on the way back from a step, and the step that they begin at."""
    description: Description = {}
    while program[at]["function"].startswith("filter_"):
        description[program[at]["function"].removeprefix("filter_")] = program[at]["value_inputs"][0]
        at = program[at]["inputs"][0]
    return description, at


def _anchor(program: Sequence[Step], at: int) -> tuple[Description, int]:
    """What is said of the one object that a `relate` or `same` step starts from, and the step that this begins at."""
    return _filters(program, program[program[at]["inputs"][0]]["inputs"][0])


def _lean(program: Sequence[Step], at: int) -> tuple[int, list[Description], Description | None]:
    """Of what is, say, left of A: how far A's own relations lead on (negative) or back, and who is known to be there or not.

    Args:
        program: with `relate` at `at`.
    Returns:
        Relations in a row that lead back, or minus those that lead on; what is said of objects that must be among those asked about;
        and what is said of the object that the chain begins with, the only one like that in the scene, where it can't be.
    """
    side = program[at]["value_inputs"][0]
    lean, inside = 0, []
    said, at = _anchor(program, at)
    while program[at]["function"] == "relate":
        back = program[at]["value_inputs"][0] == OPPOSITE[side]
        if (not back and program[at]["value_inputs"][0] != side) or lean * (1 if back else -1) < 0:
            break
        said, at = _anchor(program, at)
        lean += 1 if back else -1
        if back:
            inside.append(said)
    begun = program[at]["function"] == "scene"
    return lean, inside, said if begun and lean <= 0 else None


def _expected(program: Sequence[Step], at: int) -> float:
    """Halvings of a set by the filters on the way back from a step to where it branches or moves on."""
    halvings = 0.0
    while True:
        function = program[at]["function"]
        if function.startswith(("filter_", "same_")):
            halvings += math.log2(len(ATTRIBUTES[function.partition("_")[2]]))
        if not function.startswith("filter_"):
            if function == "union":  # of two descriptions the likelier
                halvings += min(_expected(program, k) for k in program[at]["inputs"])
            return halvings
        at = program[at]["inputs"][0]


Key = tuple[str, str, tuple[int, ...]]  # family, last function, hints


@dataclass
class Balance:
    """Which answers have been given so far, by family, last function and hints; decides what is still welcome."""

    families: Counter = field(default_factory=Counter)
    answers: dict = field(default_factory=lambda: defaultdict(Counter))
    wanted: dict = field(default_factory=dict)

    def welcome(self, key: Key, given: str, rng: random.Random) -> bool:
        """Whether one more of this answer keeps the balance: none may lead where the possible ones are known.

        Of yes and no the one that is behind is waited for, and after a tie one that is drawn: what is asked once is not mostly the
        likelier.
        Of counts the commonest may lead the second by a tenth, and the median fivefold: CLEVR's rule in spirit.
        """
        counts = self.answers[key]
        if key[1].startswith("query_"):
            return (
                counts[given] <= sum(counts.values()) / len(ATTRIBUTES[key[1].removeprefix("query_")]) + 0.5
            )
        if key[1] != "count":
            behind = min(("yes", "no"), key=lambda each: (counts[each], rng.random()))
            return given == self.wanted.setdefault(key, behind)
        ranked = sorted(counts.values(), reverse=True)
        if len(ranked) < 2:
            return counts[given] < 2
        median = max(ranked[len(ranked) // 2], 2)
        return counts[given] <= 1.1 * ranked[1] and counts[given] <= 5 * median

    def add(self, key: Key, given: str) -> None:
        self.families[key[0]] += 1
        self.answers[key][given] += 1
        self.wanted.pop(key, None)


def ask(
    scene: dict, rng: random.Random, balance: Balance, *, family: str, tries: int = 40
) -> Question | None:
    """Draw one question of a family about a written scene; None if `tries` drafts gave none that is welcome."""
    view = _View(scene)
    for _ in range(tries):
        draft = _Draft(view, rng)
        text = _write(draft, family)
        if text is None:
            continue
        told = hints(draft.program)
        if told is None:
            continue
        given = answer(draft.program, scene)
        key = (family, draft.program[-1]["function"], told)
        if balance.welcome(key, given, rng):
            balance.add(key, given)
            return Question(text, tuple(draft.program), family, given)
    return None


def questions(
    scene: dict,
    rng: random.Random,
    balance: Balance,
    *,
    number: int = 10,
    families: Sequence[str] = FAMILIES,
) -> list[Question]:
    """`number` questions about a written scene, of those `families` that have been asked least so far.

    Fewer come back only where the scene has no `number` different questions that keep the balance.
    """
    order = sorted(families, key=lambda family: (balance.families[family], rng.random()))
    found: list[Question] = []
    seen: set[str] = set()
    for family in (*order, *order):
        if len(found) == number:
            break
        question = ask(scene, rng, balance, family=family)
        if question is not None and question.text not in seen:
            seen.add(question.text)
            found.append(question)
    return found
