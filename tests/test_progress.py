import logging
import re
import sys

import pytest

from bridgelab import progress
from bridgelab.progress import Progress, TenthsLog


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


@pytest.mark.parametrize(("of", "batch"), [(1000, 1), (1000, 128), (37, 5), (7, 1), (5, 128)])
def test_progress_is_said_once_a_tenth(caplog, of, batch):
    """Also where no batch ends on a tenth."""
    say = TenthsLog("answering")
    steps = [*range(batch, of, batch), of]
    with caplog.at_level("INFO", "bridgelab.progress"):
        for done in steps:
            say("answer, image", done, of)
    said = [int(re.search(r"^answering: (\d+) of \d+, answer, image, ", line)[1]) for line in caplog.messages]
    assert said == [
        next(k for k in steps if k * 10 >= tenth * of)
        for tenth in sorted({10 * k // of for k in steps} - {0})
    ]
    assert said[-1] == of
    assert len(said) == min(10, len(steps))
