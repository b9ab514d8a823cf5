import functools

import pytest
from tiny_training import Killed, train

from bridgelab.training.callbacks.last_checkpoint import LastCheckpoint


def test_the_curve_and_the_log_survive_a_kill(tmp_path, tiny_text):
    def validate(model):
        return {"val/accuracy": 0.5, "val/loss": 1.0}

    train_so = functools.partial(
        train, tiny_text, tmp_path, log=True, validate=validate, save_every=5, at_start=True
    )
    for stop in (4, 8):  # before the first checkpoint too
        with pytest.raises(Killed):
            train_so(stop=stop)
    _, fitted = train_so()
    assert [step for step, _ in fitted.curve] == [0, 3, 6, 9, 12]
    assert fitted.seconds > 0
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,lr,train/loss,val/loss,val/accuracy"
    assert [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[4]] == [0, 3, 6, 9, 12]
    trained = [int(r.split(",")[0]) for r in rows[1:] if r.split(",")[2]]
    assert trained == list(range(1, 13))


def test_a_kill_right_after_a_checkpoint_loses_no_row(tmp_path, tiny_text, monkeypatch):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train(tiny_text, tmp_path / "whole", log=True)
    save = LastCheckpoint.save

    def killed(self, trainer):
        save(self, trainer)
        if trainer.global_step == 5:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LastCheckpoint, "save", killed)
        with pytest.raises(Killed):
            train(tiny_text, tmp_path / "killed", log=True)
    train(tiny_text, tmp_path / "killed", log=True)
    logs = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 13
