"""Commands that repeat a study's runs, or do those that are missing."""

import shlex

import pytest
from omegaconf import OmegaConf

from bridgelab.runs.record_schema import Malformed
from bridgelab.runs.repeat_command import command, every_command, keep_overrides, what_is_missing


def test_a_command_says_no_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = f"[experiments=a, seed=0, study=a, \"paths.runs='{tmp_path}/runs'\"]"
    (tmp_path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {task}}}}}")
    assert command(tmp_path, []) == "bridgelab train experiments=a seed=0"
    (tmp_path / "multirun.yaml").write_text("hydra: {overrides: {task: [study=b, \"paths.runs='/x/y'\"]}}")
    assert command(tmp_path, []) == "bridgelab train -m study=b paths.runs=/x/y"


def test_a_command_runs_where_the_sweep_did(tmp_path):
    """Without its launcher a sweep on Slurm would train on the login node."""
    places = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "+hydra.launcher.nice=1"]
    hydra = ", ".join([*places, "hydra.mode=MULTIRUN", "hydra.job.name=x"])
    (tmp_path / "multirun.yaml").write_text(
        f"hydra: {{overrides: {{hydra: [{hydra}], task: ['bridge=linear,mlp', 'seed=0,1']}}}}"
    )
    line = f"bridgelab train -m {' '.join(places)} bridge=linear,mlp seed=0,1"
    assert command(tmp_path, []) == line
    assert what_is_missing(tmp_path, ["bridge=mlp,seed=1"]) == line
    added = f"bridgelab study {tmp_path} --add {' '.join(places)} bridge=qformer"
    assert what_is_missing(tmp_path, ["bridge=qformer,seed=1"]) == added


def test_what_the_last_sweep_lacks_is_named_too(tmp_path):
    sweep = "[study=s, 'bridge=mlp', 'seed=0,1', train.lr=0.1]"
    (tmp_path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {sweep}}}}}")
    rows = [("mlp", 0.1), ("linear", 0.2), ("qformer", 0.1)]
    names = [f"bridge={bridge},seed={seed},train.lr={rate}" for bridge, rate in rows for seed in (0, 1)]
    assert every_command(tmp_path, names).splitlines() == [
        "bridgelab train -m study=s bridge=mlp seed=0,1 train.lr=0.1",
        *(f"bridgelab train study=s bridge=linear seed={seed} train.lr=0.2" for seed in (0, 1)),
        f"bridgelab study {tmp_path} --add bridge=qformer",
    ]


def test_a_command_names_the_folder_of_ones_own_studies(tmp_path):
    sources = [
        {"path": "/x/conf", "schema": "file", "provider": "main"},
        {"path": "/my studies", "schema": "file", "provider": "command-line"},
    ]
    hydra = {"overrides": {"task": ["experiments=mine"]}, "runtime": {"config_sources": sources}}
    OmegaConf.save(OmegaConf.create({"hydra": hydra}), tmp_path / "multirun.yaml")
    line = "bridgelab train '--config-dir=/my studies' experiments=mine"
    assert command(tmp_path, []) == line
    assert what_is_missing(tmp_path, ["seed=1"]) == line


def test_a_single_run_is_repeated_as_it_was_given(tmp_path):
    (tmp_path / "bridge=mlp,seed=1").mkdir()
    assert command(tmp_path, ["bridge=mlp,seed=1", "defaults"]) == "bridgelab train bridge=mlp seed=1"
    given = ["study=mine", "benchmark.root=/a b", "bridge=mlp", "seed=1", "tune.lrs=[0.1,0.2]"]
    keep_overrides(tmp_path / "bridge=mlp,seed=1", given)
    assert shlex.split(command(tmp_path, ["bridge=mlp,seed=1"])) == ["bridgelab", "train", *given]
    (tmp_path / "bridge=mlp,seed=1" / "overrides.yaml").write_text("task: {a: 1}")
    with pytest.raises(Malformed, match=r"overrides\.yaml holds task=.*valid list"):
        command(tmp_path, ["bridge=mlp,seed=1"])
