from dataclasses import replace

import pytest
import torch

from bridgelab.benchmark.world import World
from bridgelab.training import experiment as settings
from bridgelab.training import main


def test_a_stage_can_show_few_objects(tiny, config, tmp_path):
    stages = "train.stages=[{share:0.5,simple_caption:1},{share:0.5,caption:0.3,answer:0.7}]"
    given = config("train.simple_objects=6", "benchmark.images.train=6", stages)
    experiment = settings.Experiment.set_up(given, torch.device("cpu"))
    simple, captions = (
        experiment.data.pools["simple_caption"].examples,
        experiment.data.pools["caption"].examples,
    )
    assert simple == [e for e in captions if len(e.words.split(" . ")) <= 6]
    assert 0 < len(simple) < len(captions)
    drawn = [step.pool for step in experiment.data.batches(10, 0).sampler]
    assert drawn[:5] == ["simple_caption"] * 5
    assert "simple_caption" not in drawn[5:]


def test_weights_of_what_a_benchmark_lacks_go_to_the_rest(tiny, config, tmp_path, caplog):
    experiment = settings.Experiment.set_up(config("train.simple_objects=0"), torch.device("cpu"))
    assert "world has no training examples for simple_caption" in caplog.text
    assert {step.pool for step in experiment.data.batches(10, 0).sampler} == {"answer", "caption"}


def test_a_broken_image_is_named_before_training(tiny, config, tmp_path):
    given = config(f"benchmark.root={tmp_path}/own")
    settings.Experiment.set_up(given, torch.device("cpu"))
    image = next((tmp_path / "own" / "images" / "train").glob("*3.png"))
    image.write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"{image.name} can't be read"):
        main.run(given, tmp_path / "run", bridge="linear")


def test_a_tag_of_two_types_is_named_before_training(tiny, config, monkeypatch):
    own = World.examples

    def mixed(self, split, kind):
        level = {"answer": 3, "caption": "hard" if split == "test" else 3}[kind]
        return [replace(e, tags={**e.tags, "level": level}) for e in own(self, split, kind)]

    monkeypatch.setattr(World, "examples", mixed)
    message = r"^world, test: tag level is '?\w+'? in example \S+ and '?\w+'? in \S+, which are of two types, and must be of one\. Give all as"
    with pytest.raises(ValueError, match=message):
        settings.Experiment.set_up(config(), "cpu")
