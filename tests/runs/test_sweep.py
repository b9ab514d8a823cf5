"""What a study varies, as it declares it and as its runs' names tell."""

import pytest

from bridgelab.runs.sweep import factors, swept


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
