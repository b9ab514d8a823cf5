import json
import os
import subprocess

import pandas as pd
import pytest
import torch

from bridgelab.runs.environment import provenance
from bridgelab.runs.record import write_json, write_predictions
from bridgelab.training.loggers.csv_logger import MetricsCsv


def test_json_is_whole_or_not_there(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_log_is_on_disk_at_once_and_can_be_rewound(tmp_path):
    log = MetricsCsv(tmp_path)
    for step in (1, 2, 3):
        log.log_metrics({"train/loss": 1 / step, "epoch": 0}, step)
        assert len(pd.read_csv(tmp_path / "metrics.csv")) == step
    log.log_metrics({"val/accuracy": 0.5, "val/loss": 2.0}, 3)
    log.log_metrics({"epoch": 1}, 4)
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("1")  # of 10, where the disk was full
    MetricsCsv(tmp_path).rewind(2)
    assert pd.read_csv(tmp_path / "metrics.csv")["step"].tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_predictions_keep_a_tag_that_only_some_have(tmp_path):
    rows = [{"id": "a", "score": 1.0, "tag_hops": 2}, {"id": "b", "score": 0.5}]
    write_predictions(tmp_path / "p.parquet", rows)
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["id"].tolist() == ["a", "b"]
    assert table["tag_hops"][0] == 2
    assert pd.isna(table["tag_hops"][1])


def test_provenance_outside_of_git(tmp_path):
    found = provenance(tmp_path, torch.device("cpu"))
    assert found["git_sha"] is None
    assert found["versions"]["torch"]
    assert found["machine"].endswith(f", {os.cpu_count()} cores")


def test_provenance_of_a_package_inside_of_another_repository(tmp_path):
    """A virtual environment often lies in its user's own checkout, whose commit says nothing of bridgelab."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    package = tmp_path / ".venv" / "bridgelab"
    package.mkdir(parents=True)
    assert provenance(package, torch.device("cpu"))["git_sha"] is None
    assert len(provenance(tmp_path, torch.device("cpu"))["git_sha"]) == 40
