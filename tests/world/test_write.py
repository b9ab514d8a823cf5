import hashlib
import json
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bridgelab.world import write
from bridgelab.world.program import step
from bridgelab.world.question import FAMILIES, rarity
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
    assert max(balance.families.values()) - min(balance.families.values()) <= 3
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
        ({"images": 1, "split": "../x"}, "split='../x': must be letters"),
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
        ([("scene",), ("unique", 0), ("relate", 1), ("filter_shape", 2), ("exist", 3)], 2),  # 1.58
        ([("scene",), ("unique", 0), ("same_color", 1), ("filter_size", 2), ("count", 3)], 4),
        ([("scene",), ("filter_color", 0), ("scene",), ("filter_size", 2), ("union", 1, 3), ("count", 4)], 1),
        ([("scene",), ("filter_color", 0), ("count", 1), ("scene",), ("filter_size", 3), ("count", 4), ("less_than", 2, 5)], 2),
        ([("scene",), ("filter_color", 0), ("unique", 1), ("query_size", 2)], 0),
    ],
)  # fmt: skip
def test_rarity_counts_the_halvings_that_words_promise(program, halvings):
    assert rarity([step(name, *inputs) for name, *inputs in program]) == halvings
