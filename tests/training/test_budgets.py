import functools
import time

import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tiny_training import Killed, train

from bridgelab.training.budgets import branch_points, cool_down, smaller_budgets


def test_a_smaller_budget_is_what_a_run_of_its_length_is(tmp_path, tiny_text):
    """Branched off at 80 % of it and cooled down, killed on the way, or trained alone: the same weights at the same rate."""
    schedule = {"shape": "warmup_stable_decay", "warmup": 0.1, "decay": 0.4}
    train_so = functools.partial(train, tiny_text, steps=20, schedule=schedule)
    whole, _ = train_so()
    alone, _ = train_so(budget={"stop": 10})
    (tmp_path / "run").mkdir()
    points = branch_points(tmp_path / "run", [10], schedule["decay"])
    assert list(points.values()) == [6]
    branched, _ = train_so(directory=tmp_path / "run", budget={"branches": points})
    for name, weights in whole.bridge.state_dict().items():
        assert torch.equal(weights, branched.bridge.state_dict()[name]), name
        assert not torch.equal(weights, alone.bridge.state_dict()[name]), name
    cooled = []

    def cool(end, begin, own):
        choices = {"directory": own, "budget": {"stop": end, "start": begin}}
        with pytest.raises(Killed):
            train_so(stop=8, **choices)
        cooled.append(train_so(**choices)[0])
        return {"val/accuracy": 0.5}

    assert cool_down(tmp_path / "run", [10], cool) == [{"steps": 10, "val/accuracy": 0.5}]
    for name, weights in alone.bridge.state_dict().items():
        assert torch.equal(weights, cooled[0].bridge.state_dict()[name]), name
    assert cool_down(tmp_path / "run", [10], cool) == [{"steps": 10, "val/accuracy": 0.5}]  # once
    assert len(cooled) == 1
    assert [path.name for path in (tmp_path / "run" / "budgets").iterdir()] == ["10.json"]


def test_the_seconds_of_a_smaller_budget_are_of_all_its_steps(tmp_path, tiny_text, monkeypatch):
    """Also of those since the last save. By a clock that evaluations set forward by 100 s: at step 3, before the branch, and at 5."""
    real, evaluated = time.monotonic, []

    def validate(_):
        evaluated.append(100)
        return {"val/accuracy": 0.5, "val/loss": 1.0}

    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(evaluated))
    points = branch_points(tmp_path, [5], 0.2)
    train_so = functools.partial(train, tiny_text, save_every=100, validate=validate)
    train_so(directory=tmp_path, budget={"branches": points})
    (checkpoint,) = points
    (tmp_path / "branch").mkdir()
    _, cooled = train_so(directory=tmp_path / "branch", budget={"start": checkpoint, "stop": 5})
    assert len(evaluated) == 4 + 1
    assert 200 < cooled.seconds < 250


def test_the_first_process_alone_writes_and_deletes(tmp_path, monkeypatch):
    """Else the second finds a folder gone, or its file renamed, while both are at it."""
    (tmp_path / "budgets").mkdir()
    checkpoint = tmp_path / "budgets" / "10.ckpt"
    checkpoint.touch()
    expected = [{"steps": 10, "value": 0.5}]
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert cool_down(tmp_path, [10], lambda *_: {"value": 0.5}) == expected
    assert checkpoint.exists()
    assert not (tmp_path / "budgets" / "10.json").exists()
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    assert cool_down(tmp_path, [10], lambda *_: {"value": 0.5}) == expected
    assert [path.name for path in (tmp_path / "budgets").iterdir()] == ["10.json"]


def test_a_run_that_begins_anew_leaves_no_budgets_of_an_earlier_training(tmp_path, monkeypatch):
    folder = tmp_path / "budgets"
    (folder / "5").mkdir(parents=True)
    for name in ("5.json", "10.ckpt", "5/last.ckpt"):
        (folder / name).touch()
    assert list(branch_points(tmp_path, [5, 10], 0.2).values()) == [8]  # the run goes on: 5 is finished
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert list(branch_points(tmp_path, [5, 10], 0.2, anew=True).values()) == [4, 8]
    assert (folder / "5.json").exists()
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (folder / "10").symlink_to(outside)
    assert list(branch_points(tmp_path, [5, 10], 0.2, anew=True).values()) == [4, 8]
    assert not list(folder.iterdir())
    folder.rmdir()
    folder.symlink_to(outside)
    with pytest.raises(ValueError, match="budgets is a link"):
        branch_points(tmp_path, [5, 10], 0.2, anew=True)
    assert (outside / "kept").exists()


def test_smaller_budgets_are_shares_of_the_steps():
    assert smaller_budgets(100, [0.5, 0.25], 0.2) == [25, 50]
    assert smaller_budgets(6, [0.25, 0.5, 0.9], 0.2) == [3, 5]  # the last fifth of 2 steps is none
    assert smaller_budgets(1, [0.4], 0.2) == smaller_budgets(0, [0.5], 0.2) == []
