import json
import os
import shutil

import pytest
from omegaconf import OmegaConf

from bridgelab.runs.identity import claim, config_hash
from bridgelab.runs.initial_weights import initial_file
from bridgelab.runs.reuse import copy_finished_run, find_finished_run

CONFIG = OmegaConf.create(
    {
        "study": "first",
        "question": "which?",
        "hypothesis": None,
        "verdict": {"baseline": "linear", "delta": 0.02},
        "paths": {"runs": "/a"},
        "seed": 0,
        "train": {"lr": 0.1},
        "budget": {"tokens": None},
    }
)
SECOND = OmegaConf.merge(CONFIG, {"study": "second", "question": "why?", "verdict": {"baseline": "mlp"}})


@pytest.fixture
def first(tmp_path):
    """A finished run of the study `first`."""
    run = tmp_path / "first" / "seed=0"
    claim(run, CONFIG)
    for name in ("predictions.parquet", "last.ckpt", "log.txt", "train.log", "lock"):
        (run / name).write_text(f"{name} of first")
    record = {
        "study": "first",
        "overrides": run.name,
        "question": "which?",
        "bridge": "linear",
        "sees": "image",
    }
    record |= {"costs": {"visual_tokens": 16}, "config_hash": config_hash(CONFIG)}
    (run / "metrics.json").write_text(json.dumps(record))
    return run


def test_a_run_that_another_study_has_is_taken_over(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    assert find_finished_run(own, SECOND, [first.parent]) == first
    copy_finished_run(first, own, SECOND, bridge="mine")
    record = json.loads((own / "metrics.json").read_text())
    assert record == {
        "study": "second",
        "question": "why?",
        "hypothesis": None,
        "overrides": "seed=0",
        "bridge": "mine",
        "sees": "image",
        "verdict": {"baseline": "mlp", "delta": 0.02},
        "costs": {"visual_tokens": 16},
        "config_hash": config_hash(SECOND),
        "taken_from": "first/seed=0",
    }
    files = {"config.yaml", "config.hash", "metrics.json", "predictions.parquet", "last.ckpt", "lock"}
    assert {path.name for path in own.iterdir()} == files
    assert (own / "last.ckpt").read_text() == "last.ckpt of first"
    assert claim(own, SECOND), "it stands as finished"

    third = OmegaConf.merge(SECOND, {"study": "third"})  # from the copy: the run that was trained is named
    copy_finished_run(own, tmp_path / "third" / "seed=0", third, bridge="mine")
    assert json.loads((tmp_path / "third/seed=0/metrics.json").read_text())["taken_from"] == "first/seed=0"


def test_what_one_does_to_its_files_the_other_does_not_see(first, tmp_path):
    (first / "metrics.csv").write_text("step\n1\n")
    own = tmp_path / "second" / "seed=0"
    copy_finished_run(first, own, SECOND, bridge="mine")
    with open(own / "metrics.csv", "a") as file:
        file.write("2\n")
    (own / "last.ckpt").unlink()
    assert (first / "metrics.csv").read_text() == "step\n1\n"
    assert (first / "last.ckpt").exists()


def test_what_a_kill_left_is_not_written_into(first, tmp_path, monkeypatch):
    """An unfinished link to one run's file, under the name that this process would write to."""
    monkeypatch.setattr("bridgelab.atomic.secrets.token_hex", lambda _: "0")
    own, other = tmp_path / "second" / "seed=0", tmp_path / "other.ckpt"
    own.mkdir(parents=True)
    other.write_text("other")
    os.link(other, own / f"last.ckpt.{os.getpid()}.0")
    os.link(other, own / f"predictions.parquet.{os.getpid()}.0")
    copy_finished_run(first, own, SECOND, bridge="mine")
    assert other.read_text() == "other"
    assert (own / "predictions.parquet").read_text() == "predictions.parquet of first"


def test_a_budget_that_a_run_keeps_of_itself_is_none(first, tmp_path):
    assert (
        find_finished_run(
            tmp_path / "own", OmegaConf.merge(SECOND, {"budget": {"tokens": 16}}), [first.parent]
        )
        == first
    )


def test_a_run_that_was_done_in_other_pieces_is_taken(first, tmp_path):
    """A run that went on with what a full GPU is told to set keeps that value, and the other runs of its study do not have it."""
    done, asked = (
        {"evaluate": {"batch_size": size, "num_beams": 1}, "train": {"save_every": size}}
        for size in (64, 128)
    )
    second = OmegaConf.merge(SECOND, asked)
    shutil.rmtree(first)
    claim(first, OmegaConf.merge(CONFIG, done))
    (first / "metrics.json").write_text(json.dumps({"study": "first"}))
    own = tmp_path / "second" / "seed=0"
    assert find_finished_run(own, second, [first.parent]) == first
    copy_finished_run(first, own, second, bridge="mine")
    assert claim(own, second)
    beams = OmegaConf.merge(second, {"evaluate": {"num_beams": 2}})
    assert find_finished_run(tmp_path / "own", beams, [first.parent]) is None


def test_a_record_that_is_malformed_or_a_link_is_told_and_the_next_is_taken(first, tmp_path, caplog):
    """A link's name says nothing of where it leads: it was read through, and a file of the system was copied."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    others = [shutil.copytree(first, first.parent / name) for name in ("a", "b", "c", "d")]
    (others[0] / "metrics.json").write_text('{"study": "first", "costs": 5}')
    (others[1] / "diagnosis.json").symlink_to(secret)
    (others[2] / "last.ckpt").unlink()
    os.mkfifo(others[2] / "last.ckpt")
    (others[3] / "config.hash").unlink()
    os.mkfifo(others[3] / "config.hash")
    assert find_finished_run(tmp_path / "own", SECOND, [first.parent]) == first
    told = (
        "costs=5",
        "diagnosis.json is a link",
        "last.ckpt is not a regular file",
        "config.hash is not a regular file",
    )
    assert len(caplog.messages) == 4
    for line, folder, reason in zip(caplog.messages, others, told, strict=True):
        assert line.startswith(f"not reused: {folder}")
        assert reason in line
    with pytest.raises(ValueError, match="is a link"):  # put there since it was looked at
        copy_finished_run(others[1], tmp_path / "own", SECOND, bridge="mine")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("change", [{"seed": 1}, {"train": {"lr": 0.2}}, {"budget": {"tokens": 4}}])
def test_another_config_is_not_taken(first, tmp_path, change):
    assert find_finished_run(tmp_path / "own", OmegaConf.merge(SECOND, change), [first.parent]) is None


def test_a_run_from_other_weights_is_not_taken(first, tmp_path):
    """The config is the same: it names them by their path."""
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"first")
    start = {"bridge": {"init_from": str(weights)}}
    config, second = OmegaConf.merge(CONFIG, start), OmegaConf.merge(SECOND, start)
    (first / "config.hash").write_text(config_hash(config))
    record = json.loads((first / "metrics.json").read_text()) | {"init_from": initial_file(config)}
    (first / "metrics.json").write_text(json.dumps(record))
    assert find_finished_run(tmp_path / "own", second, [first.parent]) == first
    weights.write_bytes(b"second")
    assert find_finished_run(tmp_path / "own", second, [first.parent]) is None
    weights.unlink()
    assert find_finished_run(tmp_path / "own", second, [first.parent]) == first


def test_a_run_of_other_data_is_not_taken(first, tmp_path, monkeypatch, caplog):
    """The config is the same: it names their folder by an environment variable."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    data = {"benchmark": {"_target_": "bridgelab.benchmark.gqa.Gqa", "root": "${oc.env:DATA}/gqa"}}
    config, second = OmegaConf.merge(CONFIG, data), OmegaConf.merge(SECOND, data)
    monkeypatch.setenv("DATA", str(tmp_path / "v1"))
    (tmp_path / "v1" / "gqa").mkdir()
    shutil.rmtree(first)
    claim(first, config)
    (first / "metrics.json").write_text(json.dumps({"study": "first"}))
    assert find_finished_run(tmp_path / "own", second, [first.parent]) == first
    monkeypatch.setenv("DATA", str(tmp_path / "v2"))
    assert find_finished_run(tmp_path / "own", second, [first.parent]) is None
    assert "not reused: " in caplog.text
    assert f"finished run of the data in benchmark.root={tmp_path}/v1/gqa" in caplog.text
    (tmp_path / "v1").rename(tmp_path / "gone")  # the same data, moved
    assert find_finished_run(tmp_path / "own", second, [first.parent]) == first


def test_what_is_begun_goes_on_and_what_is_unfinished_is_left(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    claim(own, SECOND)
    assert find_finished_run(own, SECOND, [first.parent]) is None
    assert find_finished_run(own, SECOND, [tmp_path / "gone"]) is None
    (first / "metrics.json").unlink()
    assert find_finished_run(tmp_path / "new", SECOND, [first.parent]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"trained_in": "runs/x"},
        {"study": None},
        {"sees": "words", "costs": {"visual_tokens": 88}},
        {"costs": None},
    ],
)
def test_a_record_that_is_no_such_run_s_is_not_taken(first, tmp_path, change):
    """One of an evaluation elsewhere; one without a study or costs; words, whose own tokens are counted with a prompt's."""
    record = json.loads((first / "metrics.json").read_text()) | change
    kept = {key: value for key, value in record.items() if value is not None}
    (first / "metrics.json").write_text(json.dumps(kept))
    asked = OmegaConf.merge(SECOND, {"budget": {"tokens": 88}}) if "costs" in change else SECOND
    assert find_finished_run(tmp_path / "own", asked, [first.parent]) is None


@pytest.mark.parametrize(("moment", "claimed"), [("reuse.claim", False), ("reuse.read_record", True)])
def test_a_kill_in_between_is_made_good(first, tmp_path, monkeypatch, moment, claimed):
    def die(*args, **kwargs):
        raise KeyboardInterrupt

    own = tmp_path / "second" / "seed=0"
    with monkeypatch.context() as killing:
        killing.setattr(f"bridgelab.runs.{moment}", die)
        with pytest.raises(KeyboardInterrupt):
            copy_finished_run(first, own, SECOND, bridge="mine")
    assert (own / "config.hash").exists() == claimed
    assert not (own / "metrics.json").exists()
    assert find_finished_run(own, SECOND, [first.parent]) == first
    copy_finished_run(first, own, SECOND, bridge="mine")
    assert claim(own, SECOND)


def test_a_run_of_another_config_keeps_its_files(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    claim(own, OmegaConf.merge(SECOND, {"seed": 1}))
    (own / "last.ckpt").write_text("own")
    with pytest.raises(ValueError, match=r"another config .* differ in seed"):
        copy_finished_run(first, own, SECOND, bridge="mine")
    assert (own / "last.ckpt").read_text() == "own"


def test_a_study_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"paths\.reuse=.*/nowhere is not a folder\. Give studies"):
        find_finished_run(tmp_path / "own", SECOND, [tmp_path / "nowhere"])
