from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bridgelab.pretrain import held_out
from bridgelab.pretrain.lessons import lessons
from bridgelab.pretrain.pool import pool_scene
from bridgelab.world.write import split_scene


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(held_out, "SPLITS", {"val": 20, "test": 20})
    held_out.held_out.cache_clear()
    yield
    held_out.held_out.cache_clear()


def test_the_splits_are_those_of_the_config():
    images = OmegaConf.load(Path(__file__).parents[2] / "conf/benchmark/world.yaml").images
    assert {s: images[s] for s in ("val", "test")} == held_out.SPLITS


def test_a_held_out_scene_is_refused_in_any_order_and_light(few):
    scene = split_scene("test", 0, 7)
    shuffled = replace(scene, objects=scene.objects[::-1], light=1.0)
    with pytest.raises(ValueError, match="which the world's val or test split holds"):
        held_out.check(shuffled)


def test_pre_training_scenes_pass(few):
    for lesson in lessons(
        "train", 0, 0, scenes=20, shares={"question": 1, "explain": 0, "caption": 0, "look_up": 0}
    ):
        held_out.check(lesson.scene)
    for index in range(20):
        held_out.check(pool_scene(0, index, (3, 10)))
