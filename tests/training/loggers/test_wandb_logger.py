"""W&B's own client, offline, and against a server that is not there."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.benchmark.example import Example
from bridgelab.bridge.attention import attend
from bridgelab.config.schema.training import Wandb
from bridgelab.data.batches import TokenizedExamples
from bridgelab.model import BridgedModel
from bridgelab.training import main
from bridgelab.training.checkpoint import LAST
from bridgelab.training.loggers import wandb_logger
from bridgelab.training.loggers.wandb_logger import artifact_name, difficulty, evidence_maps, wandb_identity


class LooksAtOne(nn.Module):
    """Planted: it attends to patch 5 of all patches, and hands over what it finds there."""

    def __init__(self, text_dim):
        super().__init__()
        self.net = nn.Linear(6, text_dim)

    def forward(self, patches, text=None, text_mask=None):
        keys = torch.full((1, 1, patches.shape[1], 6), -100.0)
        keys[0, 0, 5] = 100.0
        query, keys = torch.ones(len(patches), 1, 1, 6), keys.expand(len(patches), -1, -1, -1)
        found = attend(query, keys, patches[:, None], patches=patches.shape[1])
        return self.net(found[:, 0])


@pytest.mark.parametrize("cls", [False, True])
def test_overlays_lie_over_the_patch_that_is_read(tiny_text, cls):
    torch.manual_seed(0)
    patches = torch.randn(2, 9 + cls, 6)  # two images of three by three patches
    asked = Example("q", ("/a.png", "/b.png"), "what is it ?", ("red",), "answer")
    rows = {"/a.png": 0, "/b.png": 1}
    prepared = TokenizedExamples([asked], tiny_text, rows, lambda chosen: patches[torch.as_tensor(chosen)])
    model = BridgedModel(LooksAtOne(tiny_text.dim), tiny_text, mean=torch.zeros(6), std=torch.ones(6))
    model.init_output_scale(prepared.batch([0]))
    plain = [np.full((30, 60, 3), 128, dtype=np.uint8)] * 2
    rests, attention = evidence_maps(model, prepared, 0, "blue cube", plain, (3, 3), cls)
    changed = [[(one != 128).any(2) for one in pictures] for pictures in (rests, attention)]
    row, column = (1, 1) if cls else (1, 2)  # of the patch that is read
    there = np.zeros((3, 3), dtype=bool)
    there[row, column] = True
    assert np.array_equal(changed[1][0], np.kron(there, np.ones((10, 20), dtype=bool)))
    there[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True  # whose windows hold it
    assert np.array_equal(changed[0][0], np.kron(there, np.ones((10, 20), dtype=bool)))
    assert not changed[0][1].any()
    assert not changed[1][1].any()


def test_a_bridge_without_attention_has_no_such_overlay(tiny_text):
    patches = torch.randn(1, 4, 6)
    asked = Example("q", ("/a.png",), "what is it ?", ("red",), "answer")
    prepared = TokenizedExamples([asked], tiny_text, {"/a.png": 0}, lambda rows: patches)
    model = BridgedModel(nn.Linear(6, tiny_text.dim), tiny_text, mean=torch.zeros(6), std=torch.ones(6))
    model.bridge.forward = lambda patches, *_: nn.functional.linear(patches, model.bridge.weight)
    model.init_output_scale(prepared.batch([0]))
    rests, attention = evidence_maps(
        model, prepared, 0, "", [np.zeros((8, 8, 3), dtype=np.uint8)], (2, 2), False
    )
    assert attention is None
    assert rests[0].shape == (8, 8, 3)


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
    directory = tmp_path / "toy" / "bridge=linear,budget.tokens=4,seed=0"
    main.run(given, directory, bridge="linear")
    assert (directory / "metrics.json").exists()
    text = json.dumps(told(directory))
    for name in (
        "bridge_name", "linear, budget.tokens=4", "val/accuracy", "train/loss", "costs/visual_tokens", "test_shuffled/accuracy", "predictions",
        "accuracy by hops", LAST,
    ):  # fmt: skip
        assert name in text, name
    (table,) = directory.glob("wandb/offline-run-*/files/media/table/predictions*.json")
    content = json.loads(table.read_text())
    rests = content["columns"].index("rests on")
    looked = [row for row in content["data"] if row[rests]]
    assert looked
    assert {row[2] for row in looked} == {"answer"}
    assert not any(row[rests + 1] for row in looked)  # a linear bridge has no attention


@pytest.mark.parametrize("lost_offline", [False, True])
def test_a_run_that_wandb_does_not_take_is_logged_offline_or_not_at_all(
    tiny, config, tmp_path, offline, monkeypatch, caplog, lost_offline
):
    import wandb

    def lost(begin=wandb.init, **choices):
        if choices.get("mode") != "offline" or lost_offline:
            raise wandb.errors.CommError("no answer")
        return begin(**choices)

    monkeypatch.setattr(wandb, "init", lost)
    given = config("logger=wandb", "logger.wandb.offline=false", "bridge=linear", "train.lr=0.01")
    main.run(given, tmp_path / "run", bridge="linear")
    assert (tmp_path / "run" / "metrics.json").exists()
    if lost_offline:
        assert "W&B can't be started, and this run continues without it: no answer" in caplog.text
    else:
        assert "this run is logged offline: no answer. To upload it later: wandb sync /" in caplog.text
        assert "test/accuracy" in json.dumps(told(tmp_path / "run"))


def test_a_run_is_recorded_though_wandb_does_not_take_its_record(
    tiny, config, tmp_path, offline, monkeypatch, caplog
):
    import wandb

    def full(*_):
        raise OSError("no space left")

    def finish(end=wandb.finish, **choices):
        end(**choices)
        raise wandb.errors.CommError("no answer")

    monkeypatch.setattr(wandb_logger, "_prediction_table", full)
    monkeypatch.setattr(wandb, "finish", finish)
    main.run(config("logger=wandb", "bridge=linear", "train.lr=0.01"), tmp_path / "run", bridge="linear")
    assert "W&B lacks this run's record, and this run continues without it: no space left" in caplog.text
    assert "W&B did not end this run in order: no answer" in caplog.text
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_run_keeps_its_id_and_one_made_anew_has_another(tmp_path):
    """Two people in one project, or the same folder emptied: equal names are no equal runs."""
    mine, theirs = (tmp_path / who / "study" / "bridge=linear,seed=0" for who in ("a", "b"))
    for directory in (mine, theirs):
        directory.mkdir(parents=True)
    first = wandb_identity(mine)
    assert re.fullmatch("[0-9a-f]{16}", first["id"])
    assert first == wandb_identity(mine)
    assert first["id"] != wandb_identity(theirs)["id"]
    assert (first["name"], first["group"]) == ("bridge=linear,seed=0", "study")
    assert first.keys() <= Wandb.of_the_run.keys()  # which a config can not give
    shutil.rmtree(mine)
    mine.mkdir()
    assert wandb_identity(mine)["id"] != first["id"]


def test_difficulty_is_in_order_and_of_numbers_alone():
    metrics = {
        "test/accuracy/hops=10": 0.1, "test/accuracy/hops=2": 0.2, "test/accuracy/type=count": 0.3, "test/accuracy": 0.4,
        "test_shuffled/accuracy/hops=3": 0.5, "test/accuracy/objects=3": 0.6,
    }  # fmt: skip
    assert difficulty(metrics) == {"hops": [(2, 0.2), (10, 0.1)]}


@pytest.mark.parametrize("study", ["größe", "猫", "long" * 40])
def test_artifacts_of_two_seeds_have_two_names_that_wandb_takes(study):
    import wandb

    names = {
        artifact_name(
            {"study": study, "overrides": f"bridge=linear,seed={seed}", "config_hash": str(seed) * 16}
        )
        for seed in (0, 1)
    }
    assert len(names) == 2
    assert names == {wandb.Artifact(name, "bridge").name.partition(":")[0] for name in names}
