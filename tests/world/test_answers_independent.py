"""The written world under an engine that shares no code with it: CLEVR's semantics, from the files alone."""

import json
import math
from collections import Counter, defaultdict

import pytest
from PIL import Image

from bridgelab.world.write import write_world

IMAGES = 60
RELATION_WORDS = {"left": "left of", "right": "right of", "front": "in front of", "behind": "behind"}
SIDES = tuple(RELATION_WORDS)
VALUES = {
    "shape": {"cube", "sphere", "cylinder"},
    "size": {"small", "large"},
    "material": {"rubber", "metal"},
    "color": {"gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder, its scenes by index and its questions."""
    out = tmp_path_factory.mktemp("world")
    write_world(out, "val", IMAGES, 3, 1)
    scenes = json.loads((out / "scenes" / "CLEVR_val_scenes.json").read_text())["scenes"]
    questions = json.loads((out / "questions" / "CLEVR_val_questions.json").read_text())["questions"]
    return out, {s["image_index"]: s for s in scenes}, questions


class Engine:
    """Recursive evaluation from the last step backwards, on frozensets (the writer's goes forwards)."""

    def __init__(self, scene, program):
        self.things = scene["objects"]
        self.relationships = scene["relationships"]
        self.program = program
        self.visited = set()

    def value(self, k):
        self.visited.add(k)
        step = self.program[k]
        assert set(step) >= {"function", "inputs", "value_inputs"}
        assert all(j < k for j in step["inputs"])
        verb, _, noun = step["function"].partition("_")
        arguments = [*(self.value(j) for j in step["inputs"]), *step["value_inputs"]]
        if noun in VALUES:
            return getattr(self, "do_" + verb)(*arguments, attribute=noun)
        return getattr(self, step["function"])(*arguments)

    def scene(self):
        return frozenset(range(len(self.things)))

    def unique(self, group):
        assert isinstance(group, frozenset)
        assert len(group) == 1, f"unique of {sorted(group)}"
        return next(iter(group))

    def relate(self, thing, side):
        assert isinstance(thing, int)
        assert side in SIDES
        return frozenset(self.relationships[side][thing])

    def union(self, a, b):
        return a | b

    def intersect(self, a, b):
        return a & b

    def count(self, group):
        return len(group)

    def exist(self, group):
        return len(group) != 0

    def less_than(self, a, b):
        return a < b

    def greater_than(self, a, b):
        return a > b

    def equal_integer(self, a, b):
        assert isinstance(a, int)
        assert isinstance(b, int)
        return a == b

    def do_filter(self, group, value, attribute):
        assert value in VALUES[attribute]
        return frozenset(k for k in group if self.things[k][attribute] == value)

    def do_same(self, thing, attribute):
        alike = {k for k, o in enumerate(self.things) if o[attribute] == self.things[thing][attribute]}
        return frozenset(alike - {thing})

    def do_query(self, thing, attribute):
        assert isinstance(thing, int)
        return self.things[thing][attribute]

    def do_equal(self, a, b, attribute):
        assert {a, b} <= VALUES[attribute]
        return a == b


def test_every_answer(written):
    """Each program is well-posed on the written scene, uses all its steps and gives the written answer."""
    _, scenes, questions = written
    functions = Counter()
    for q in questions:
        engine = Engine(scenes[q["image_index"]], q["program"])
        result = engine.value(len(q["program"]) - 1)
        words = ("yes" if result else "no") if isinstance(result, bool) else str(result)
        assert q["answer"] == words, q["question"]
        assert engine.visited == set(range(len(q["program"]))), "a step that nothing reads"
        functions.update(step["function"] for step in q["program"])
    assert len(questions) >= 8 * IMAGES
    attributed = {f"{verb}_{name}" for verb in ("filter", "same", "query", "equal") for name in VALUES}
    plain = {"scene", "unique", "relate", "union", "intersect", "count", "exist"}
    assert functions.keys() == attributed | plain | {"equal_integer", "less_than", "greater_than"}


def without(program, k):
    """Yield the program with the scene in place of its relation `k`; and, if `k` is joined to another, with that one alone."""
    yield [
        {"function": "scene", "inputs": [], "value_inputs": []} if j == k else s
        for j, s in enumerate(program)
    ]
    for j, joined in enumerate(program):
        if joined["function"] in ("union", "intersect") and k in joined["inputs"]:
            (other,) = set(joined["inputs"]) - {k}
            yield [*program[:j], joined | {"inputs": [other, other]}, *program[j + 1 :]]


def test_no_relation_is_idle(written):
    """Without any one of its relations a question has another answer, or none; a 'yes' is still about other objects."""
    _, scenes, questions = written
    checked = Counter()
    for q in questions:
        program = q["program"]
        exists = program[-1]["function"] == "exist" and q["answer"] == "yes"
        last = program[-1]["inputs"][0] if exists else len(program) - 1
        value = Engine(scenes[q["image_index"]], program).value(last)
        for k in (k for k, step in enumerate(program) if step["function"] == "relate"):
            for other in without(program, k):
                checked[program[-1]["function"], len(other)] += 1
                try:
                    without_it = Engine(scenes[q["image_index"]], other).value(last)
                except AssertionError:  # `unique` of none or of several: the question has no answer
                    continue
                assert without_it != value, (q["question"], k)
    assert sum(checked.values()) > 400


def test_relationships_are_those_of_the_coordinates(written):
    """CLEVR's rule along the written directions; each pair is decided, one way or the other, on both axes."""
    _, scenes, _ = written
    for scene in scenes.values():
        places = [o["3d_coords"] for o in scene["objects"]]
        for side in SIDES:
            d = scene["directions"][side]
            assert math.hypot(*d) == pytest.approx(1)
            for i, here in enumerate(places):
                reach = [sum(u * (v - w) for u, v, w in zip(d, p, here, strict=True)) for p in places]
                assert sorted(scene["relationships"][side][i]) == [j for j, r in enumerate(reach) if r > 0]
        everyone = set(range(len(places)))
        for one, other in (("left", "right"), ("front", "behind")):
            for i in everyone:
                a, b = (set(scene["relationships"][s][i]) for s in (one, other))
                assert not a & b
                assert a | b == everyone - {i}
        assert 3 <= len(places) <= 10


def test_questions_belong_to_their_image(written):
    out, scenes, questions = written
    assert len({(q["image_index"], q["question"]) for q in questions}) == len(questions)
    assert [q["question_index"] for q in questions] == list(range(len(questions)))
    for q in questions:
        assert q["split"] == "val"
        assert q["image_filename"] == scenes[q["image_index"]]["image_filename"]
    for scene in scenes.values():
        with Image.open(out / "images" / "val" / scene["image_filename"]) as image:
            assert (image.size, image.mode) == ((96, 96), "RGB")
    files = [out / "images" / "val" / scene["image_filename"] for scene in scenes.values()]
    assert len({file.read_bytes() for file in files}) == IMAGES


def test_a_word_of_each_filter_is_in_the_question(written):
    """The text says what the program filters by, so that text alone suffices to run it."""
    _, _, questions = written
    for q in questions:
        text = q["question"]
        for step in q["program"]:
            if step["function"].startswith("filter_"):
                assert step["value_inputs"][0] in text, (text, step)
        relations = Counter(s["value_inputs"][0] for s in q["program"] if s["function"] == "relate")
        for side, times in relations.items():
            assert text.count(RELATION_WORDS[side]) == times


# The most that one answer may have. Counts can't be even, since nine of a kind are rare. An attribute's value
# may have its even share and a quarter of the rest (brown 0.34, large 0.63).
LIMITS = {"exist": 0.6, "count": 0.4, "compare_integer": 0.6, "compare_attribute": 0.65}


def test_no_answer_rules_its_type(written):
    _, _, questions = written
    answers = defaultdict(Counter)
    for q in questions:
        last = q["program"][-1]["function"]
        if last in ("less_than", "greater_than", "equal_integer"):
            last = "compare_integer"
        elif last.startswith("equal_"):
            last = "compare_attribute"
        answers[last][q["answer"]] += 1
    assert answers.keys() == LIMITS.keys() | {f"query_{name}" for name in VALUES}
    for kind, counts in answers.items():
        total = sum(counts.values())
        if kind.startswith("query_"):
            even = 1 / len(VALUES[kind.removeprefix("query_")])
            limit = even + (1 - even) / 4
        else:
            limit = LIMITS[kind]
        chance = math.sqrt(limit * (1 - limit) / total)  # one standard deviation
        assert max(counts.values()) / total <= limit + chance, (kind, counts)
