import re

import pytest

from bridgelab.bench import start


def test_what_begins_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "REPETITIONS", 1)
    monkeypatch.setattr(start, "_preloaded", lambda: ["json", "decimal"])
    rows = start.start_rows(tmp_path)
    assert [row[0] for row in rows] == [
        "bridgelab --help",
        "bridgelab train --cfg job",
        "a job's imports, by themselves",
        "a job forked in the pool, imports done",
    ]
    assert all(float(row[1]) > 0 for row in rows)
    assert re.search(r"bridgelab \d", (tmp_path / "log.txt").read_text())  # the forked jobs ran


def test_what_fails_is_no_time(tmp_path):
    with pytest.raises(RuntimeError, match="trian ended with exit status 2"):
        start._timed([*start.COMMAND, "trian"])
    with pytest.raises(RuntimeError, match=r"trian ended with exit status 2:\n.*Did you mean 'train'"):
        start._run([*start.COMMAND, "trian"], {})


def test_what_is_preloaded_is_the_pools_own():
    assert "bridgelab.train.run" in start._preloaded()
