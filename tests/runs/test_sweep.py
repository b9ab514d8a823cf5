"""What a study varies, as it declares it and as its runs' names tell."""

import shlex

import pytest
from omegaconf import OmegaConf

from bridgelab.runs.record_schema import Malformed
from bridgelab.runs.sweep import (
    command,
    every_command,
    factors,
    keep_overrides,
    overrides,
    row_of,
    swept,
    what_is_missing,
)


def test_the_command_line_narrows_what_the_yaml_sweeps(tmp_path):
    assert swept(tmp_path) == {}
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {sweeper: {params: {bridge: 'a, b', seed: '0,1', x: 'range(3)'}}, overrides: {task: ['seed=7', '+y=c/d,e']}}"
    )
    assert swept(tmp_path) == {"bridge": ["a", "b"], "seed": ["7"], "x": ["0", "1", "2"], "y": ["c_d", "e"]}
    # A comma in quotes parts no values.
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['seed=0,1', \"paths.runs='/x/a, b'\"]}}"
    )
    assert swept(tmp_path) == {"seed": ["0", "1"]}


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("range(1,4)", ["1", "2", "3"]),
        ("range(4, -1, -2)", ["4", "2", "0"]),
        ("range(0)", None),
        ("range(1,4,0)", None),
        ("range(0.5)", None),
        ("[1,2]", None),
        ("${y}", None),
    ],
)
def test_a_range_is_its_numbers(tmp_path, given, values):
    (tmp_path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: ['seed={given}']}}}}")
    assert swept(tmp_path).get("seed") == values
    (tmp_path / "multirun.yaml").write_text("hydra: {overrides: {task: ['seed=range(999999999)']}}")
    assert len(swept(tmp_path)["seed"]) == 1000


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


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bridge=mlp,seed=1", {"bridge": "mlp", "seed": "1"}),
        ("bridge=mlp,tune.lrs=[0.1,0.2],seed=1", {"bridge": "mlp", "tune.lrs": "[0.1,0.2]", "seed": "1"}),
        ("+bridge.width=4", {"bridge.width": "4"}),
        ("defaults", {}),
    ],
)
def test_a_name_tells_its_choices(name, found):
    assert overrides(name) == found


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("bridge=linear,budget.tokens=4,seed=0", "linear, budget.tokens=4"),
        ("bridge=linear,data_seed=1,+train.lr=0.1,seed=0", "linear, train.lr=0.1"),
        ("bridge=mlp,bridge._target_=linear,seed=0", "linear"),
        ("a", "linear"),
    ],
)
def test_a_name_tells_its_row(name, row):
    assert row_of(name, "linear") == row


def test_factors_are_what_has_several_values():
    sweep = {"bridge": ["a", "b"], "seed": ["0", "1"], "train.steps": ["4", "8"], "data.dtype": ["float32"]}
    assert factors(sweep, [], []) == ["train.steps"]
    names = [{"x": "1", "y": "1"}, {"x": "2", "y": "1"}]
    assert factors({}, names, ["a", "a"]) == ["x"]
    assert factors({}, names, ["a", "b"]) == []
    names = [
        {"bridge.x": "1", "z": "1"},
        {"bridge.x": "2", "z": "2"},
        {},
    ]  # another bridge may lack a bridge's own key
    assert factors({}, names, ["a", "a", "b"]) == ["bridge.x"]
    names = [{"bridge.init_from": "1"}, {"bridge.init_from": "2"}, {}]  # each seed may have its own
    assert factors({}, names, ["a", "a", "b"]) == []
