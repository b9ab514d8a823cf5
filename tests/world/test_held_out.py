from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.pretraining.vit.scene_pool import pool_scene
from bridgelab.world.held_out import SPLITS, WORLD_SEED, check, held_out, scene_hash
from bridgelab.world.split import split_scene


def test_the_splits_are_those_of_the_config():
    images = OmegaConf.load(Path(__file__).parents[2] / "conf/benchmark/world.yaml").images
    assert {s: images[s] for s in ("val", "test")} == {s: SPLITS[s] for s in ("val", "test")}


def test_every_split_is_held_out():
    assert len(held_out()) == sum(SPLITS.values())
    rng = np.random.default_rng(0)
    for split, images in SPLITS.items():
        for index in (0, int(rng.integers(images)), images - 1):
            assert scene_hash(split_scene(split, WORLD_SEED, index)) in held_out(), (split, index)


def test_a_held_out_scene_is_refused_in_any_order_and_light():
    scene = split_scene("test-clutter", 0, 7)  # the scenes of test
    shuffled = replace(scene, objects=scene.objects[::-1], light=1.0)
    with pytest.raises(ValueError, match="drawn for training, but val, test or a shift of test holds it"):
        check(shuffled)


def test_scenes_for_training_pass():
    for lesson in lessons("train", 0, 0, scenes=20, shares={"question": 1, "caption": 0, "look_up": 0}):
        check(lesson.scene)
    for index in range(20):
        check(pool_scene(0, index, (3, 10)))
        check(split_scene("train", 0, index))
