"""W&B's own client, offline, and against a server that is not there."""

import json
import subprocess
import sys

import pytest

from bridgelab.train import main
from bridgelab.train.loop import LAST
from bridgelab.train.wandb_run import difficulty, wandb_identity


@pytest.fixture
def offline(monkeypatch, tmp_path):
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)


def told(directory):
    """All that an offline run wrote, as W&B's own reader gives it."""
    (path,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    shown = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [json.loads(line) for line in shown.splitlines()]


def test_a_run_is_told_offline(tiny, config, tmp_path, offline):
    given = config("logger=wandb", "logger.artifact=true", "bridge=linear", "train.lr=0.01")
    main.run(given, tmp_path / "toy" / "a", bridge="linear")
    assert (tmp_path / "toy" / "a" / "metrics.json").exists()
    text = json.dumps(told(tmp_path / "toy" / "a"))
    for name in (
        "bridge_name", "val/accuracy", "train/loss", "costs/visual_tokens", "test_shuffled/accuracy", "predictions",
        "accuracy by hops", LAST,
    ):  # fmt: skip
        assert name in text, name


def test_a_run_goes_on_where_wandb_cannot_be_begun(tiny, config, tmp_path, monkeypatch, caplog):
    import wandb

    def lost(**_):
        raise wandb.errors.CommError("no answer")

    monkeypatch.setattr(wandb, "init", lost)
    main.run(config("logger=wandb", "bridge=linear", "train.lr=0.01"), tmp_path / "run", bridge="linear")
    assert "W&B can't be begun, and this run goes on without it: no answer" in caplog.text
    assert (tmp_path / "run" / "metrics.json").exists()


def test_runs_keep_their_id(tmp_path):
    first = wandb_identity(tmp_path / "study" / "bridge=linear,seed=0")
    assert first == wandb_identity(tmp_path / "study" / "bridge=linear,seed=0")
    assert first["id"] != wandb_identity(tmp_path / "study" / "bridge=linear,seed=1")["id"]
    assert first["group"] == "study"


def test_difficulty_is_in_order_and_of_numbers_alone():
    metrics = {
        "test/accuracy/hops=10": 0.1, "test/accuracy/hops=2": 0.2, "test/accuracy/type=count": 0.3, "test/accuracy": 0.4,
        "test_shuffled/accuracy/hops=3": 0.5, "test/accuracy/objects=3": 0.6,
    }  # fmt: skip
    assert difficulty(metrics) == {"hops": [(2, 0.2), (10, 0.1)]}
