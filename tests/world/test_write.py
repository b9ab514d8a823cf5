import hashlib
import json
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bridgelab.world import write
from bridgelab.world.questions.program import answer, step
from bridgelab.world.questions.draft import FAMILIES, OPPOSITE, _Draft, _View, _write, hints
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.split import split_scene
from bridgelab.world.write import write_world


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_same_seed_same_files_over_processes(tmp_path):
    write_world(tmp_path / "one", "val", 260, seed=3, processes=1)  # two blocks
    write_world(tmp_path / "two", "val", 260, seed=3, processes=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_layout_is_clevr_s(tmp_path):
    write_world(tmp_path, "val", 12, seed=0)
    questions = json.loads((tmp_path / "questions/CLEVR_val_questions.json").read_text())["questions"]
    scenes = json.loads((tmp_path / "scenes/CLEVR_val_scenes.json").read_text())["scenes"]
    assert {
        "image_index",
        "image_filename",
        "question",
        "answer",
        "program",
        "question_family_index",
        "split",
    } <= set(questions[0])
    assert {"objects", "relationships", "directions", "image_index", "image_filename"} <= set(scenes[0])
    assert {"shape", "size", "color", "material", "rotation", "3d_coords", "pixel_coords"} == set(
        scenes[0]["objects"][0]
    )
    for scene in scenes:
        image, mask = (
            read(tmp_path / folder / "val" / scene["image_filename"]) for folder in ("images", "masks")
        )
        assert image.shape == (96, 96, 3)
        assert set(np.unique(mask)) == set(range(len(scene["objects"]) + 1))  # every object is seen


def test_splits_and_seeds_share_no_scene():
    drawn = [
        split_scene(s, seed, k).objects
        for s in ("train", "val", "test")
        for seed in (0, 1)
        for k in range(20)
    ]
    assert len(set(drawn)) == len(drawn)


def test_answers_are_balanced_within_each_family():
    rng, balance = random.Random(0), write.Balance()
    for k in range(250):
        scene = sample_visible_scene(np.random.default_rng([9, k]))
        write.questions(write.scene_record(scene, "val"), rng, balance)
    assert set(balance.families) == set(FAMILIES)
    # A family waits for an answer that is rare in it, so the slowest is a little behind.
    assert min(balance.families.values()) >= 0.9 * max(balance.families.values())
    for (family, function, rare), counts in balance.answers.items():
        total = sum(counts.values())
        if function == "count" or total < 20:
            continue
        possible = len(write_possible(function))
        assert max(counts.values()) <= total / possible + 1.5, (family, function, rare, counts)


def write_possible(function):
    values = {"query_color": 8, "query_shape": 3, "query_size": 2, "query_material": 2}
    return range(values.get(function, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "images=0: must be at least 1"),
        ({"images": 1, "split": "../x"}, "split='../x': must be one of train"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_world(tmp_path, **{"split": "val", **arguments})


def test_counts_of_answers_are_spread():
    """No count takes more than half of a family's answers where several are possible."""
    rng, balance = random.Random(1), write.Balance()
    for k in range(120):
        write.questions(
            write.scene_record(sample_visible_scene(np.random.default_rng([8, k])), "val"), rng, balance
        )
    for (family, function, rare), counts in balance.answers.items():
        if function == "count":
            assert max(counts.values()) <= 0.5 * sum(counts.values()) + 2, (family, rare, Counter(counts))


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
def test_hints_begin_with_the_halvings_that_words_promise(program, halvings):
    filled = [
        step(
            name,
            *inputs,
            value={"relate": "left"}.get(name, "red") if name.startswith(("filter", "relate")) else None,
        )
        for name, *inputs in program
    ]
    assert hints(filled)[0] == halvings


def chained(asked, *links):
    """'Is there an `asked` thing that stands by relation to a thing so said, which stands …'; from the last to the first."""
    program = [step("scene")]
    for side, said in reversed(links):
        program += [step("filter_color", len(program) - 1, value=said)]
        program += [step("unique", len(program) - 1)]
        program += [step("relate", len(program) - 1, value=side)]
    return [*program, step("filter_color", len(program) - 1, value=asked), step("exist", len(program))]


@pytest.mark.parametrize(
    ("links", "lean", "fitting"),
    [
        ([("left", "red")], 0, 0),
        ([("left", "red"), ("left", "red")], -1, 0),
        ([("left", "red"), ("front", "red")], 0, 0),
        ([("left", "red"), ("right", "red")], 1, 0),  # what is known to be there is not what is asked for
        ([("left", "red"), ("right", "blue"), ("right", "red")], None, None),  # is there a blue one? The second is
        ([("left", "red"), ("right", "red"), ("left", "blue")], 1, 0),
        ([("behind", "red"), ("behind", "red"), ("behind", "red")], -2, 0),
        ([("behind", "red"), ("behind", "red"), ("behind", "blue")], None, None),  # the only blue one is in front of all
        ([("behind", "red"), ("front", "red"), ("front", "red")], 2, 0),
        ([("behind", "red"), ("front", "red"), ("left", "blue")], 1, 0),
    ],
)  # fmt: skip
def test_hints_tell_relations_that_lead_on_from_those_that_lead_back(links, lean, fitting):
    found = hints(chained("blue", *links))
    assert found == (None if lean is None else (3, lean, fitting))


def test_what_relations_lead_back_to_may_fit_the_description():
    program = chained("blue", ("left", "red"), ("right", "red"))
    program[-2] = step("filter_shape", len(program) - 3, value="cube")
    assert hints(program) == (2, 1, 1)


def test_what_is_refused_for_its_words_has_one_answer_in_every_scene():
    """Drafts on many scenes: of those whose words are said to give the answer away, all have that answer, by running them."""
    rng, found = random.Random(3), Counter()
    for k in range(60):
        scene = write.scene_record(sample_visible_scene(np.random.default_rng([7, k])), "val")
        view = _View(scene)
        for family in FAMILIES:
            for _ in range(12):
                draft = _Draft(view, rng)
                if _write(draft, family) is None or hints(draft.program) is not None:
                    continue
                given, last = answer(draft.program, scene), draft.program[-1]["function"]
                base = draft.program[-1]["inputs"][0]
                while draft.program[base]["function"].startswith("filter_"):
                    base = draft.program[base]["inputs"][0]
                function = draft.program[base]["function"]
                found[family] += 1
                if last in ("less_than", "greater_than", "equal_integer"):
                    continue  # the next test's
                if function.startswith("same_"):
                    assert given in ("no", "0"), draft.program
                else:
                    sides = [s["value_inputs"][0] for s in draft.program if s["function"] == "relate"]
                    back = len(sides) > 1 and sides[-1] == OPPOSITE[sides[-2]]
                    assert (given not in ("no", "0")) is back, draft.program
    assert {
        "same_attribute_count",
        "two_hop_exist",
        "one_hop_count",
        "compare_integer_less",
    } <= set(found)


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
        scene = write.scene_record(sample_visible_scene(np.random.default_rng([6, k])), "val")
        assert answer(compared("less_than", red, cubes), scene) == "no"


def test_words_that_give_their_answer_away_are_not_asked():
    """Over three hops, the relations alone don't tell yes from no, and nothing asked for has been named already."""
    rng, asked, balance = random.Random(2), [], write.Balance()
    for k in range(write.BLOCK):
        scene = write.scene_record(sample_visible_scene(np.random.default_rng([9, k])), "val")
        asked += write.questions(scene, rng, balance, number=4, families=("two_hop_exist", "three_hop_exist"))
    answers = {True: Counter(), False: Counter()}
    for question in asked:
        assert hints(question.program) is not None
        sides = [s["value_inputs"][0] for s in question.program if s["function"] == "relate"]
        answers[sides[-1] == OPPOSITE[sides[-2]]][question.answer] += 1
    for back, counts in answers.items():
        total = sum(counts.values())
        assert total > 30
        # Half are yes: by chance a share of 30 is off by 9 points, and waiting for an answer makes it less.
        assert abs(counts["yes"] / total - 0.5) < 0.2, (back, counts)
