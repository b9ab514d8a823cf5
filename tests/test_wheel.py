"""The wheel, installed and used where there is no checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from bridgelab.benchmark.world import World

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
IMAGES = {"train": 3, "val": 2, "test": 2}


def call(*command, **kwargs):
    """The output of a command, which must end well."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [*UV, "build", "--offline", "--wheel", "--out-dir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
    )
    for reason in ("No module named uv", "hatchling was not found in the cache"):
        if built.returncode and reason in built.stderr:
            pytest.skip(f"the wheel is not built: {reason}")
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel, and this one's packages for its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    call(*UV, "pip", "install", "--offline", "--no-deps", "--python", folder / "bin" / "python", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    # A line of a .pth adds the folder alone, not the .pth files in it: this checkout stays out.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    return folder


def test_every_config_and_study_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = call("git", "-C", ROOT, "ls-files", "conf", "experiments/*.yaml", "src").split()
    expected = {
        name.removeprefix("src/") if name.startswith("src/") else f"bridgelab/{name}" for name in tracked
    }
    assert expected <= names
    assert {name for name in names - expected if ".dist-info/" not in name} == set()


@pytest.mark.slow
def test_commands_work_from_an_empty_folder(installed, tmp_path):
    world, empty = tmp_path / "world", tmp_path / "empty"
    empty.mkdir()
    drawn = World(str(world), images=IMAGES, processes=1, questions_per_image=2)
    for split in IMAGES:
        drawn.make(split)
    variables = {
        name: value for name, value in os.environ.items() if name not in ("BRIDGELAB_ROOT", "PYTHONPATH")
    }

    def bridgelab(*arguments):
        return call(installed / "bin" / "bridgelab", *arguments, cwd=empty, env=variables)

    place = call(
        installed / "bin" / "python", "-c", "import bridgelab; print(bridgelab.__file__)", env=variables
    )
    assert place.startswith(str(installed))
    assert "bridgelab train experiments=first_look" in bridgelab("--help")
    assert "study: first_look\n" in bridgelab("train", "experiments=first_look", "--cfg", "job")
    bridgelab(
        "train", "-m", "study=tiny", "bridge=blind", "seed=0",
        f"benchmark.root={world}", "benchmark.images={train:3,val:2,test:2}", "benchmark.questions_per_image=2",
        "train.steps=4", "train.batch_size=4", "train.lr=0.01", "train.val_points=1", "train.budgets=[]",
        "evaluate.limit={answer:4,caption:2}",
    )  # fmt: skip
    assert "blind" in bridgelab("report", "runs/tiny", "--all")
    assert (empty / "runs" / "tiny" / "index.html").exists()
