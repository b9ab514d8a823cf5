"""Generated records are a study as any other, and what is told of them is of all of them."""

import pytest

from bridgelab.runs.study import read_study
from bridgelab.speed.records import RECORDS_COLUMNS, Size, records_row, write_records

SMALL = Size(bridges=5, seeds=2, questions=20, captions=4)


def test_a_row_is_of_all_records(tmp_path):
    row = dict(zip(RECORDS_COLUMNS, records_row(tmp_path / "runs", SMALL), strict=True))
    assert row["records"] == "10"
    assert row["predictions"] == str(3 * 2 * 2 * 24 + 2 * 2 * 24)
    assert 0.01 < float(row["peak GB"]) < 4


def test_generated_records_have_floors_a_ceiling_and_what_was_drawn(tmp_path):
    written = write_records(tmp_path / "runs", SMALL)
    study = read_study(tmp_path / "runs")
    assert {"blind", "words", "linear", "bridge_0", "bridge_1"} == set(study.bridges)
    assert study.missing == ()
    assert written == sum(len(run.predictions) for run in study.runs)
    assert study.has("linear", "shuffled")
    assert not study.has("blind", "shuffled")
    # 40 answers each: one standard deviation is 3.4 and 7.7 points.
    assert study.scores("words").mean() == pytest.approx(0.95, abs=0.14)
    assert study.scores("blind").mean() == pytest.approx(0.4, abs=0.31)
