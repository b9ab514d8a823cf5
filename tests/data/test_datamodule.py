from dataclasses import replace

import pytest
import torch

from bridgelab.benchmark.world import World
from bridgelab.training import experiment as settings
from bridgelab.training import main
from bridgelab.training.train_bridge import checkpoint_identity


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


def test_images_and_choices_that_change_are_other_content(tiny, config, tmp_path):
    given = (f"benchmark.root={tmp_path}/own", "train.lr=0.01")
    before = settings.Experiment.set_up(config(*given), "cpu")
    folder = tmp_path / "own" / "images" / "train"
    image, other = sorted(folder.glob("*.png"))[:2]
    former = image.read_bytes()
    image.write_bytes(other.read_bytes())
    after = settings.Experiment.set_up(config(*given), "cpu")
    assert after.fingerprints == before.fingerprints
    assert before.content.keys() == after.content.keys() == {"images"}
    assert before.content != after.content
    assert checkpoint_identity(before)["images"] == before.content["images"]
    assert not settings.Experiment.set_up(config(*given, "data.features=online"), "cpu").content
    image.write_bytes(former)
    again = settings.Experiment.set_up(config(*given), "cpu")
    assert again.content == before.content
    examples, found = again.data.pools["answer"].examples, []
    for wrong in ("one", "another"):
        answer = examples[0].answers[0]
        examples[0] = replace(examples[0], kind="choice", choices=(answer, wrong))
        found.append(again.data.content())
    assert found[0]["images"] == found[1]["images"] == before.content["images"]
    assert found[0]["choices"] != found[1]["choices"]
