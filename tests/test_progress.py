import logging
import sys

from bridgelab import progress
from bridgelab.progress import Progress


def test_lines_tell_rate_and_time_left(monkeypatch, caplog):
    now = iter([0.0, 4.0, 10.0, 12.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    caplog.set_level(logging.INFO)
    with Progress("encoding", 2000) as bar:
        for done in (200, 400, 600, 1600):
            bar.to(done)
    assert [record.getMessage() for record in caplog.records] == [
        "encoding: 400 of 2,000, 40.0 images/s, 40 s left",
        "encoding: 1,600 of 2,000, 80.0 images/s, 5 s left",
    ]


def test_a_terminal_has_a_bar_where_it_takes_long(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress("checking", 10, "rows") as bar:
        bar.to(10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    with Progress("checking", 10, "rows") as bar:
        bar.to(10)
    told = capsys.readouterr().err
    assert "checking" in told
    assert "10/10" in told
    assert "rows/s" in told
