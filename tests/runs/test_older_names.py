"""Runs of before a key was renamed are read, gone on with, reused and compared as ever."""

import json

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bridgelab.cli import main as cli
from bridgelab.config.check import declared
from bridgelab.config.root import config_root
from bridgelab.runs.comparability import configured
from bridgelab.runs.identity import claim, config_hash
from bridgelab.runs.older_names import (
    ADDED,
    RENAMED,
    current_key,
    current_override,
    with_current_keys,
    with_older_keys,
)
from bridgelab.runs.record_schema import read_config
from bridgelab.runs.repeat_command import command
from bridgelab.runs.reuse import find_finished_run
from bridgelab.runs.run_name import overrides
from bridgelab.runs.study import read_study
from bridgelab.runs.sweep import swept

OLDER = {
    "study": "first",
    "seed": 0,
    "budget": {"tokens": None},
    "data": {"dtype": "bfloat16", "longest": {"prompt": 1024, "answer": 128}},
    "evaluate": {"batch_size": 8, "beams": 1, "limit": {"answer": None}},
}
NEWER = with_current_keys(OLDER)
HASH = "22cc9f495afe5b54"  # of OLDER, as the version before the rename printed it


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_new_name_is_declared_and_an_older_one_is_not(old, new):
    assert new in declared()
    assert old not in declared()
    assert old.split(".")[0] == new.split(".")[0], "a key is renamed within its group"


def test_names_are_exchanged_in_place_and_nothing_else_is():
    assert NEWER["data"] == {"dtype": "bfloat16", "max_length": {"prompt": 1024, "answer": 128}}
    assert list(NEWER["evaluate"].items()) == [
        ("batch_size", 8),
        ("num_beams", 1),
        ("limit", {"answer": None}),
        ("tokens", None),  # added since, with the value that older runs had in effect
    ]
    assert with_older_keys(NEWER) == OLDER
    assert with_current_keys(NEWER) == NEWER
    assert "longest" in OLDER["data"], "the argument stays"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data.longest.prompt", "data.max_length.prompt"),
        ("evaluate.beams", "evaluate.num_beams"),
        ("evaluate.beams_of_light", "evaluate.beams_of_light"),
        ("train.longest", "train.longest"),
    ],
)
def test_a_key_is_known_by_its_older_name(old, new):
    assert current_key(old) == new
    assert current_override(f"++{old}=a=b") == f"++{new}=a=b"


def test_a_rename_leaves_a_run_the_same_run(tmp_path):
    newer = OmegaConf.create(NEWER)
    run = tmp_path / "first" / "seed=0"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(OLDER))
    (run / "config.hash").write_text(f"{HASH}\n")  # as the version before the rename wrote it
    (run / "last.ckpt").touch()
    assert config_hash(newer) == config_hash(read_config(run)) == HASH
    assert not claim(run, newer), "it is not finished, and goes on"
    corrected = OmegaConf.merge(newer, {"evaluate": {"num_beams": 2}})
    assert not claim(run, corrected)
    assert read_config(run).evaluate.num_beams == 2


@pytest.mark.parametrize(("key", "value"), ADDED.items())
def test_a_key_that_was_added_leaves_a_run_the_same_run(key, value, tmp_path):
    group, name = key.split(".")
    older, other = OLDER | {group: {"path": "a"}}, {"no": "such"}
    with_key = OLDER | {group: {"path": "a", name: value}}
    assert key in declared()
    assert config_hash(OmegaConf.create(older)) == config_hash(OmegaConf.create(with_key))
    assert config_hash(OmegaConf.create(OLDER | {group: {"path": "a", name: other}})) not in (
        config_hash(OmegaConf.create(older)),
        HASH,
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
    assert OmegaConf.select(read_config(tmp_path), key) == value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(OLDER | {group: {name: other}}))
    assert OmegaConf.select(read_config(tmp_path), key) == other
    assert name not in older[group], "the argument stays"


def test_what_was_added_is_today_at_the_value_of_older_runs():
    """So that a config of before, composed today, is the run that it was."""
    with initialize_config_dir(str(config_root() / "conf"), version_base="1.3"):
        config = compose("train")
    for key, value in ADDED.items():
        assert OmegaConf.select(config, key) == value


def test_an_older_run_is_taken_over(tmp_path):
    run = tmp_path / "first" / "seed=0"
    run.mkdir(parents=True)
    (run / "config.hash").write_text(f"{HASH}\n")
    (run / "config.yaml").write_text(yaml.safe_dump(OLDER))
    (run / "predictions.parquet").touch()
    (run / "metrics.json").write_text(json.dumps({"study": "first", "costs": {}}))
    second = OmegaConf.merge(NEWER, {"study": "second"})
    assert find_finished_run(tmp_path / "own", second, [run.parent]) == run


def test_a_config_is_read_under_todays_names_with_its_numbers_as_they_are(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {longest: {prompt: 7}}\ntrain: {lr: 1e-3}\n")
    assert read_config(tmp_path) == {"data": {"max_length": {"prompt": 7}}, "train": {"lr": 0.001}}
    assert configured(tmp_path)["data.max_length.prompt"] == 7


def test_older_and_newer_runs_make_one_table(simulated):
    study = simulated.write(bridges={"linear": {"exist": 0.7}, "mlp": {"exist": 0.7}}, images=6)
    for number, run in enumerate(sorted(study.iterdir())):
        (run / "config.yaml").write_text(yaml.safe_dump(NEWER if number % 2 else OLDER))
    assert read_study(study).allowed == ()
    (run / "config.yaml").write_text(yaml.safe_dump(OLDER | {"evaluate": {"beams": 3}}))
    with pytest.raises(ValueError, match=r"^evaluate\.num_beams=3 in .*, but 1 in "):
        read_study(study)
    with pytest.raises(ValueError, match=r"^--allow evaluate\.beams: this key is now evaluate\.num_beams\."):
        read_study(study, allow=["evaluate.beams"])
    assert len(read_study(study, allow=["evaluate.num_beams"]).allowed) == 1


def test_a_sweep_over_an_older_key_is_told_by_its_new_name(tmp_path):
    task = ["bridge=linear", "data.longest.prompt=64,128"]
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": {"task": task}}}))
    assert overrides("bridge=linear,data.longest.prompt=64") == {
        "bridge": "linear",
        "data.max_length.prompt": "64",
    }
    assert swept(tmp_path)["data.max_length.prompt"] == ["64", "128"]
    assert command(tmp_path, []) == "bridgelab train -m bridge=linear data.max_length.prompt=64,128"


@pytest.mark.parametrize(
    ("args", "given"),
    [
        (["train", "data.longest.prompt=5"], "data.longest.prompt=5"),
        (["train", "-m", "++data.longest.prompt=5,6"], "++data.longest.prompt=5,6"),
        (["doctor", "data.longest.prompt=5"], "data.longest.prompt=5"),
        (["train", "experiments=mine"], "data.longest.prompt=64,128"),
    ],
)
def test_who_types_an_older_name_is_told_the_new_one(args, given, tmp_path, monkeypatch, capsys):
    (tmp_path / "conf").symlink_to(config_root() / "conf")
    (tmp_path / "experiments").mkdir()
    study = {"hydra": {"sweeper": {"params": {"data.longest.prompt": "64,128"}}}}
    (tmp_path / "experiments" / "mine.yaml").write_text(yaml.safe_dump(study))
    monkeypatch.setenv("BRIDGELAB_ROOT", str(tmp_path))
    assert cli.main(args) == 2
    assert capsys.readouterr().err == (
        f"bridgelab {args[0]}: {given}: there is no key data.longest.prompt. It is now data.max_length.prompt. "
        "Write the new name.\n"
    )
