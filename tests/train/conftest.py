"""A run of a few steps on a world of a few images, between two tiny frozen sides."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from bridgelab.train import build as building
from bridgelab.train import sides

CONF = Path(__file__).parents[2] / "conf"
SMALL = (
    "benchmark.images.train=6",
    "benchmark.images.val=3",
    "benchmark.images.test=4",
    "benchmark.processes=1",
    "benchmark.questions_per_image=3",
    "train.steps=6",
    "train.batch_size=4",
    "train.save_every=2",
    "train.val_points=3",
    "tune.steps=2",
)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return tmp_path_factory.mktemp("world")


@pytest.fixture
def tiny(monkeypatch, tiny_text, tiny_vision):
    """Both frozen sides replaced by tiny ones, all else as configured."""
    build = building.build

    def tiny_build(config, *args, **kwargs):
        if config._target_.startswith("bridgelab.text."):
            return tiny_text
        if config._target_.startswith("bridgelab.vision."):
            return tiny_vision
        return build(config, *args, **kwargs)

    monkeypatch.setattr(sides, "build", tiny_build)


@pytest.fixture
def config(world, tmp_path):
    """Overrides -> config."""

    def composed(*overrides):
        own = (f"benchmark.root={world}", f"paths.features={tmp_path}/features")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", [*SMALL, *own, *overrides])

    return composed
