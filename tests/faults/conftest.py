"""Processes that are ended at chosen moments, and the count of what came of it."""

import functools
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from bridgelab.data.features.shard import Shard
from bridgelab.launch.fork_server import ForkServer

TESTS = Path(__file__).parents[1]
SEED = int(os.environ.get("FAULTS_SEED", "0"))
COUNTS: dict[str, Counter] = {}
CHOICES = (
    "benchmark.images={train:8,val:4,test:6}",
    "benchmark.processes=1",
    "benchmark.questions_per_image=3",
    "train.steps=8",
    "train.batch_size=4",
    "train.save_every=2",
    "train.val_points=2",
    "train.log_every=1",
    "train.precision=fp32",
    "tune.steps=2",
    "tune.extend=0",
)


@pytest.fixture
def count():
    """Add to the report that is printed in the end."""

    def add(title, what, number=1):
        COUNTS.setdefault(title, Counter())[what] += number

    return add


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section(f"faults (FAULTS_SEED={SEED})")
    for title, found in COUNTS.items():
        told = ", ".join(f"{number} {what}" for what, number in found.items())
        terminalreporter.write_line(f"{title}: {told}")


class Faulty:
    """Starts `faulty.py` in forks of a process that has its imports done."""

    given = CHOICES

    def __init__(self, home):
        path = os.pathsep.join([str(TESTS), str(Path(__file__).parent), *filter(None, sys.path)])
        imported = ["pytorch_lightning", "conftest", "bridgelab.training.run", "bridgelab.report.write"]
        self.environment = os.environ | {"PYTHONPATH": path}
        self.home, self.forker = home, ForkServer(self.environment, imported)

    def start(self, what, folder, home, *choices, data=None, **how):
        """Run it to its end, or to the end that was chosen; returns its exit status, the phase it ended in and its log.

        Args:
            what: run, features or report.
            folder: the run's or the study's.
            home: of the files that count, and of the world and the features where there is no `data`.
            choices: of the config, besides `CHOICES`.
        """
        told, log = self.home / "told", self.home / "log.txt"
        asked = {"what": what, "folder": str(folder), "home": str(home), "told": str(told)}
        asked |= {"choices": [*CHOICES, *choices], "data": data and str(data), **how}
        with log.open("wb") as file:
            status = self.forker.start(["faulty", json.dumps(asked)], file).wait()
        return status, told.read_text().strip(), log.read_text(errors="replace")

    def whole(self, what, folder, home, *choices, **how):
        """Run it to its end; returns the phases of its operations on files, and its CPU time."""
        status, _, log = self.start(what, folder, home, *choices, **how)
        assert status == 0, log
        done = json.loads((self.home / "told.json").read_text())
        return done["operations"], done["cpu"]

    def killed(self, at, what, folder, home, *choices, **how):
        """Run it to a moment; returns the phase in which it was killed, None if it was at its end before."""
        status, phase, log = self.start(what, folder, home, *choices, **at, **how)
        assert status in (0, -signal.SIGKILL), log
        return phase if status else None


@pytest.fixture(scope="session")
def faulty(tmp_path_factory):
    made = Faulty(tmp_path_factory.mktemp("faulty"))
    yield made
    made.forker.close()


@pytest.fixture
def moments(request):
    """Random moments without end, by turns of the CPU time and of an operation on files.

    They are drawn from the phase of each operation that the whole run does, and the seconds that it takes; `phase` limits
    the operations.
    """
    return functools.partial(_moments, random.Random(f"{SEED} {request.node.name}"))


def _moments(rng, operations, cpu, phase=None):
    own = [k for k, one in enumerate(operations, 1) if phase in (None, one)]
    while True:
        yield {"cpu": rng.uniform(0.02, 1) * cpu}
        yield {"operation": rng.choice(own), "torn": rng.random() < 0.5}


@pytest.fixture
def of_run():
    """A run's folder -> all that it leaves, without the seconds it took and the commit."""
    return _of_run


def _of_run(folder):
    record = json.loads((folder / "metrics.json").read_text())
    record.pop("git_sha")  # somebody may commit meanwhile
    record["costs"] = _timeless(record["costs"])
    record["budgets"] = [_timeless(budget) for budget in record["budgets"]]
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    checkpoint["callbacks"].pop("LastCheckpoint")
    return {
        **{f"record's {key}": value for key, value in record.items()},
        "predictions": (folder / "predictions.parquet").read_bytes(),
        "log": (folder / "metrics.csv").read_text(),
        "checkpoint": _plain(checkpoint),
    }


def _timeless(told):
    return {key: value for key, value in told.items() if "seconds" not in key}


def _plain(node):
    """Tensors as their bytes, so that == says equal to the last bit."""
    if isinstance(node, torch.Tensor):
        return (
            str(node.dtype),
            tuple(node.shape),
            node.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list | tuple) else node


@pytest.fixture
def of_features():
    """A store's root -> each image's row, by the image's hash."""
    return _of_features


def _of_features(root):
    shards = [Shard(path) for path in root.rglob("*.safetensors")]
    return {
        one: (shard.mean[row].tobytes(), shard.variance[row].tobytes(), shard.features[row].tobytes())
        for shard in shards
        for row, one in enumerate(shard.images)
    }


@pytest.fixture
def of_report():
    """A study's folder -> the files that its report is, as far as they are there."""
    return lambda folder: {
        name: (folder / name).read_bytes()
        for name in ("figure.png", "table.md", "index.html")
        if (folder / name).exists()
    }


@pytest.fixture
def unlike():
    """The names of what differs."""
    return lambda a, b: sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
