import re
from pathlib import Path

import pytest

from bridgelab.speed import startup


def test_what_begins_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(startup, "REPETITIONS", 1)
    monkeypatch.setattr(startup, "_preloaded", lambda: ["json", "decimal"])
    rows = startup.start_rows(tmp_path)
    assert [row[0] for row in rows] == [
        "bridgelab --help",
        "bridgelab train --cfg job",
        "a job's imports, by themselves",
        "a job forked in the pool, imports done",
    ]
    assert all(float(row[1]) > 0 for row in rows)
    assert re.search(r"bridgelab \d", (tmp_path / "log.txt").read_text())  # the forked jobs ran


def test_a_sweep_is_the_same_commands(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(startup, "JOBS", 3)
    monkeypatch.setattr(
        startup, "_run", lambda command, environment: ran.append(command[len(startup.COMMAND) :])
    )
    told = startup.sweep_row(tmp_path)
    assert told[0] == "3, 2 at a time"
    *_, sweep = ran
    by_hand = ran[1:-1]  # the first made the world
    assert sorted(command[-1] for command in by_hand) == ["seed=0", "seed=1", "seed=2"]
    assert sweep[:2] == ["train", "-m"]
    assert sweep[-1] == "seed=range(3)"
    assert all(command[1:-2] == sweep[2:-3] for command in by_hand)


def test_what_fails_is_no_time(tmp_path):
    with pytest.raises(RuntimeError, match="trian ended with exit status 2"):
        startup._timed([*startup.COMMAND, "trian"])
    with pytest.raises(RuntimeError, match=r"trian ended with exit status 2:\n.*Did you mean 'train'"):
        startup._run([*startup.COMMAND, "trian"], {})


def test_what_is_preloaded_is_the_pools_own(monkeypatch):
    monkeypatch.setenv("BRIDGELAB_ROOT", str(Path(__file__).parents[2]))
    assert "bridgelab.training.run" in startup._preloaded()
