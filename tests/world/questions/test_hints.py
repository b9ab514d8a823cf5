import random
from collections import Counter

import numpy as np
import pytest

from bridgelab.world.questions.balance import Balance
from bridgelab.world.questions.draft import Draft, SceneMasks
from bridgelab.world.questions.families import FAMILIES, OPPOSITE
from bridgelab.world.questions.generate import draw_questions
from bridgelab.world.questions.hints import hints
from bridgelab.world.questions.program import answer, step
from bridgelab.world.questions.templates import fill
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.write import BLOCK, scene_record


@pytest.mark.parametrize(
    ("program", "halvings"),
    [
        ([("scene",), ("filter_color", 0), ("exist", 1)], 3),
        ([("scene",), ("filter_size", 0), ("filter_material", 1), ("count", 2)], 2),
        ([("scene",), ("filter_size", 0), ("unique", 1), ("relate", 2), ("filter_shape", 3), ("exist", 4)], 2),  # 1.58
        ([("scene",), ("filter_shape", 0), ("unique", 1), ("same_color", 2), ("filter_size", 3), ("count", 4)], 4),
        ([("scene",), ("filter_color", 0), ("scene",), ("filter_size", 2), ("union", 1, 3), ("count", 4)], 1),
        ([("scene",), ("filter_color", 0), ("count", 1), ("scene",), ("filter_size", 3), ("count", 4), ("less_than", 2, 5)], 2),
        ([("scene",), ("filter_color", 0), ("unique", 1), ("query_size", 2)], 0),
    ],
)  # fmt: skip
def test_hints_start_with_the_halvings_by_the_filters(program, halvings):
    filled = [
        step(
            name,
            *inputs,
            value={"relate": "left"}.get(name, "red") if name.startswith(("filter", "relate")) else None,
        )
        for name, *inputs in program
    ]
    assert hints(filled)[0] == halvings


def chained(color, *links):
    """Return the program of 'is there a `color` thing <side> of the <color> thing <side> of …', with `links` in this order."""
    program = [step("scene")]
    for side, link_color in reversed(links):
        program += [step("filter_color", len(program) - 1, value=link_color)]
        program += [step("unique", len(program) - 1)]
        program += [step("relate", len(program) - 1, value=side)]
    return [*program, step("filter_color", len(program) - 1, value=color), step("exist", len(program))]


@pytest.mark.parametrize(
    ("links", "turns_back", "fitting"),
    [
        ([("left", "red")], 0, 0),
        ([("left", "red"), ("left", "red")], -1, 0),
        ([("left", "red"), ("front", "red")], 0, 0),
        ([("left", "red"), ("right", "red")], 1, 0),  # the red one must be there, but the question is about blue
        ([("left", "red"), ("right", "blue"), ("right", "red")], None, None),  # the second one is blue and must be there
        ([("left", "red"), ("right", "red"), ("left", "blue")], 1, 0),
        ([("behind", "red"), ("behind", "red"), ("behind", "red")], -2, 0),
        ([("behind", "red"), ("behind", "red"), ("behind", "blue")], None, None),  # the only blue one is in front of all
        ([("behind", "red"), ("front", "red"), ("front", "red")], 2, 0),
        ([("behind", "red"), ("front", "red"), ("left", "blue")], 1, 0),
    ],
)  # fmt: skip
def test_hints_tell_relations_that_lead_on_from_those_that_lead_back(links, turns_back, fitting):
    expected = None if turns_back is None else (3, turns_back, fitting)
    assert hints(chained("blue", *links)) == expected


def test_an_object_that_must_be_there_may_match_the_description():
    program = chained("blue", ("left", "red"), ("right", "red"))
    program[-2] = step("filter_shape", len(program) - 3, value="cube")
    assert hints(program) == (2, 1, 1)


def test_refused_words_have_one_answer_in_every_scene():
    """Run drafts on many scenes: those whose words give the answer away must have that answer."""
    rng, refused = random.Random(3), Counter()
    for k in range(60):
        scene = scene_record(sample_visible_scene(np.random.default_rng([7, k])), "val")
        masks = SceneMasks(scene)
        for family in FAMILIES:
            for _ in range(12):
                draft = Draft(masks, rng)
                if fill(draft, family) is None or hints(draft.program) is not None:
                    continue
                result, last = answer(draft.program, scene), draft.program[-1]["function"]
                base = draft.program[-1]["inputs"][0]
                while draft.program[base]["function"].startswith("filter_"):
                    base = draft.program[base]["inputs"][0]
                function = draft.program[base]["function"]
                refused[family] += 1
                if last in ("less_than", "greater_than", "equal_integer"):
                    continue  # the next test's
                if function.startswith("same_"):
                    assert result in ("no", "0"), draft.program
                else:
                    sides = [s["value_inputs"][0] for s in draft.program if s["function"] == "relate"]
                    back = len(sides) > 1 and sides[-1] == OPPOSITE[sides[-2]]
                    assert (result not in ("no", "0")) is back, draft.program
    assert {
        "same_attribute_count",
        "two_hop_exist",
        "one_hop_count",
        "compare_integer_less",
    } <= set(refused)


def test_a_narrower_description_never_counts_more():
    """Why comparisons of nested descriptions are refused: one of their answers can't be."""
    red = {"filter_color": "red"}
    cubes = red | {"filter_shape": "cube"}

    def compared(function, first, second):
        program, counts = [], []
        for description in (first, second):
            program.append(step("scene"))
            for name, value in description.items():
                program.append(step(name, len(program) - 1, value=value))
            program.append(step("count", len(program) - 1))
            counts.append(len(program) - 1)
        return [*program, step(function, *counts)]

    assert hints(compared("less_than", red, cubes)) is None
    assert hints(compared("equal_integer", cubes, red)) is None
    assert hints(compared("less_than", red, {"filter_shape": "cube"})) is not None
    for k in range(20):
        scene = scene_record(sample_visible_scene(np.random.default_rng([6, k])), "val")
        assert answer(compared("less_than", red, cubes), scene) == "no"


def test_questions_do_not_give_their_answer_away():
    """Over two or three hops, the relations alone do not predict yes or no, and no question names its own answer."""
    rng, questions, balance = random.Random(2), [], Balance()
    for k in range(BLOCK):
        scene = scene_record(sample_visible_scene(np.random.default_rng([9, k])), "val")
        questions += draw_questions(
            scene, rng, balance, number=4, families=("two_hop_exist", "three_hop_exist")
        )
    answers = {True: Counter(), False: Counter()}
    for question in questions:
        assert hints(question.program) is not None
        sides = [s["value_inputs"][0] for s in question.program if s["function"] == "relate"]
        answers[sides[-1] == OPPOSITE[sides[-2]]][question.answer] += 1
    for back, counts in answers.items():
        total = sum(counts.values())
        assert total > 30
        # Half are yes: by chance a share of 30 is off by 9 points, and waiting for an answer makes it less.
        assert abs(counts["yes"] / total - 0.5) < 0.2, (back, counts)
