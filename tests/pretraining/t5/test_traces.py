import random

import numpy as np
import pytest

from bridgelab.pretraining.t5.lessons import symbolic
from bridgelab.pretraining.t5.traces import ROLES, tags, trace
from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.questions.generate import draw_question, draw_questions
from bridgelab.world.questions.program import step
from bridgelab.world.scene import SHAPES, sample_scene


@pytest.fixture(scope="module")
def record():
    return symbolic(sample_scene(np.random.default_rng(3), objects=(8, 8)))


def test_a_chain_is_traced_hop_by_hop(record):
    things = record["objects"]
    anchor = next(
        k
        for k, o in enumerate(things)
        if [(p["color"], p["shape"]) for p in things].count((o["color"], o["shape"])) == 1
    )
    color, shape = things[anchor]["color"], things[anchor]["shape"]
    program = [
        step("scene"),
        step("filter_color", 0, value=color),
        step("filter_shape", 1, value=shape),
        step("unique", 2),
        step("relate", 3, value="left"),
        step("filter_size", 4, value="small"),
        step("count", 5),
    ]
    roles = trace(program, record)
    left = set(record["relationships"]["left"][anchor])
    small = {k for k in left if things[k]["size"] == "small"}
    assert roles == {"found_0_0": {anchor}, "beside_0_1": left, "found_0_1": small, "asked": small}


def test_the_objects_asked_about_decide_the_answer(record):
    """For exist, count and query the set `asked` alone gives the answer, by another route than the program's."""
    draw = random.Random(0)
    questions = [q for _ in range(20) for q in draw_questions(record, draw, Balance(), number=20)]
    kinds = set()
    for question in questions:
        kind = question.family.rpartition("_")[2]
        roles = trace(question.program, record)
        assert set(roles) <= set(ROLES)
        if kind in ("exist", "count", "query"):
            kinds.add(kind)
            things = [record["objects"][k] for k in roles["asked"]]
            if kind == "exist":
                expected = "yes" if things else "no"
            elif kind == "count":
                expected = str(len(things))
            else:
                expected = things[0][question.program[-1]["function"].removeprefix("query_")]
            assert question.answer == expected
    assert kinds == {"exist", "count", "query"}


def test_two_branches_and_their_join_are_kept_apart(record):
    draw = random.Random(1)
    questions = [q for _ in range(30) for q in draw_questions(record, draw, Balance(), number=25)]
    joined = [q for q in questions if q.family.startswith("single_and")]
    assert joined
    for question in joined:
        roles = trace(question.program, record)
        assert roles["joined"] >= roles["asked"]
        assert {"found_0_0", "found_1_0", "beside_0_1", "beside_1_1"} <= set(roles)


def test_compared_objects_are_joined_if_they_are_alike(record):
    draw = random.Random(2)
    questions = [q for _ in range(30) for q in draw_questions(record, draw, Balance(), number=25)]
    answers = set()
    for question in (q for q in questions if q.family.startswith("comparison")):
        roles = trace(question.program, record)
        assert len(roles["asked"]) == 2
        assert roles["joined"] <= roles["asked"]
        assert bool(roles["joined"]) == (question.answer == "yes")
        assert bool(roles["beside_1_1"] & roles["asked"]) == (question.answer == "yes")
        answers.add(question.answer)
    assert answers == {"yes", "no"}


def test_the_words_of_a_description_select_what_the_program_does():
    """For every family: the words tagged `found_b_0`, read as a filter on the scene, give the trace's set."""
    rng, draw, balance = np.random.default_rng(0), random.Random(0), Balance()
    checked = set()
    for _ in range(12):
        record = symbolic(sample_scene(rng, objects=(3, 10)))
        for family in FAMILIES:
            question = draw_question(record, draw, balance, family=family)
            if question is None:
                continue
            word_tags = tags(question.text, family)
            roles = trace(question.program, record)
            tagged = {ROLES[k] for k in word_tags if k >= 0}
            assert tagged | {"asked", "joined"} == set(roles) | {"asked", "joined"}
            for role in tagged & {"found_0_0", "found_1_0"}:
                words = [
                    w for w, k in zip(question.text.split(), word_tags, strict=True) if k == ROLES.index(role)
                ]
                words = [
                    w.removesuffix("s") if w.removesuffix("s") in (*SHAPES, "thing") else w for w in words
                ]
                fits = {
                    k
                    for k, o in enumerate(record["objects"])
                    if all(w == "thing" or w in o.values() for w in words)
                }
                assert fits == roles[role], question.text
                checked.add(family)
    assert checked == set(FAMILIES)
