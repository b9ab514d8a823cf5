"""A run of a few steps on a world of a few images, between two tiny frozen sides."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from bridgelab import backbones as backbones
from bridgelab.config import instantiate as building
from bridgelab.launch.fork_server import ForkServer
from bridgelab.training import main

CONF = main.ROOT / "conf"
BRIDGES = (
    "linear",
    "qformer",
    "perceiver_question",
    "pixel_shuffle",
    "blind",
    "words",
    "words_patch_like",
    "words_prompted",
)
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

PROGRAM = (
    "benchmark.images={train:6,val:5,test:7}",
    "benchmark.processes=1",
    "benchmark.questions_per_image=3",
    "train.steps=4",
    "train.batch_size=6",
    "train.lr=0.01",
    "train.val_points=2",
    "train.precision=fp32",
    "evaluate.batch_size=4",
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

    monkeypatch.setattr(backbones, "build", tiny_build)


@pytest.fixture
def config(world, tmp_path):
    """Overrides -> config."""

    def composed(*overrides):
        own = (f"benchmark.root={world}", f"paths.features={tmp_path}/features")
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", [*SMALL, *own, *overrides])

    return composed


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    """A folder, and in it the runs that `trained` has trained, by their place, bridge and overrides."""
    return tmp_path_factory.mktemp("trainings"), {}


@pytest.fixture
def trained(tiny, config, trainings, tmp_path):
    """A place, a bridge and overrides -> a run in that folder of `tmp_path`: a copy, as the same run is trained once."""
    home, made = trainings

    def copied(place, bridge, *overrides):
        key = (place, bridge, *overrides)
        if key not in made:
            folder = home / str(len(made)) / place
            given = config(f"bridge={bridge}", *overrides, f"paths.features={home}/features")
            main.run(given, folder, bridge=bridge)
            made[key] = folder
        return shutil.copytree(made[key], tmp_path / place)

    return copied


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A folder and a number of processes -> a run of them, whose log is given if it fails."""
    home, own = tmp_path_factory.mktemp("home"), Path(__file__).parent
    path = os.pathsep.join([str(own), *filter(None, sys.path)])
    # The last three a run imports to check the classes that its config names; open_clip alone takes seconds.
    imported = ["tiny_run", "bridgelab.training.run", "bridgelab.vision.openclip", "bridgelab.text.t5"]
    imported += ["bridgelab.benchmark.world"]
    forker = ForkServer(os.environ | {"PYTHONPATH": path}, imported)

    def run(folder, number, *choices):
        places = (f"benchmark.root={home}/world", f"paths.features={home}/features")
        with (home / "log.txt").open("wb") as log:
            status = forker.start(
                ["tiny_run", str(folder), str(number), *PROGRAM, *places, *choices], log
            ).wait()
        assert status == 0, (home / "log.txt").read_text()

    yield run
    forker.close()
