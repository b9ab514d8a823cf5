import json

import pytest
from omegaconf import OmegaConf

from bridgelab.train.claim import claim, config_hash
from bridgelab.train.reuse import finished_elsewhere, take_over

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
        "verdict": {"baseline": "linear"},
    }
    record |= {"costs": {"visual_tokens": 16}, "config_hash": config_hash(CONFIG)}
    (run / "metrics.json").write_text(json.dumps(record))
    return run


def test_a_run_that_another_study_has_is_taken_over(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    assert finished_elsewhere(own, SECOND, [first.parent]) == first
    take_over(first, own, SECOND)
    record = json.loads((own / "metrics.json").read_text())
    assert record == {
        "study": "second",
        "question": "why?",
        "hypothesis": None,
        "overrides": "seed=0",
        "verdict": {"baseline": "mlp", "delta": 0.02},
        "costs": {"visual_tokens": 16},
        "config_hash": config_hash(SECOND),
        "taken_from": "first/seed=0",
    }
    files = {"config.yaml", "config.hash", "metrics.json", "predictions.parquet", "last.ckpt"}
    assert {path.name for path in own.iterdir()} == files
    assert (own / "last.ckpt").read_text() == "last.ckpt of first"
    assert claim(own, SECOND), "it stands as finished"

    third = OmegaConf.merge(SECOND, {"study": "third"})  # from the copy: the run that was trained is named
    take_over(own, tmp_path / "third" / "seed=0", third)
    assert json.loads((tmp_path / "third/seed=0/metrics.json").read_text())["taken_from"] == "first/seed=0"


def test_what_one_does_to_its_files_the_other_does_not_see(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    take_over(first, own, SECOND)
    (own / "last.ckpt").unlink()
    assert (first / "last.ckpt").exists()


def test_a_budget_that_a_run_keeps_of_itself_is_none(first, tmp_path):
    assert (
        finished_elsewhere(
            tmp_path / "own", OmegaConf.merge(SECOND, {"budget": {"tokens": 16}}), [first.parent]
        )
        == first
    )


@pytest.mark.parametrize("change", [{"seed": 1}, {"train": {"lr": 0.2}}, {"budget": {"tokens": 4}}])
def test_another_config_is_not_taken(first, tmp_path, change):
    assert finished_elsewhere(tmp_path / "own", OmegaConf.merge(SECOND, change), [first.parent]) is None


def test_what_is_begun_goes_on_and_what_is_unfinished_is_left(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    claim(own, SECOND)
    assert finished_elsewhere(own, SECOND, [first.parent]) is None
    (first / "metrics.json").unlink()
    assert finished_elsewhere(tmp_path / "new", SECOND, [first.parent]) is None


def test_a_kill_in_between_is_made_good(first, tmp_path):
    own = tmp_path / "second" / "seed=0"
    take_over(first, own, SECOND)
    (own / "config.hash").unlink()  # what is written last
    assert finished_elsewhere(own, SECOND, [first.parent]) == first
    take_over(first, own, SECOND)
    assert claim(own, SECOND)


def test_a_study_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"paths\.reuse=.*/nowhere is no folder\. Give studies"):
        finished_elsewhere(tmp_path / "own", SECOND, [tmp_path / "nowhere"])
