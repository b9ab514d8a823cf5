"""Accuracy by question family of studies whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from bridgelab.report.table import Cell
from bridgelab.report.tables.question_families import family_table
from bridgelab.report.write import report
from bridgelab.runs.study import read_study


def with_families(study, usual=0.4):
    """Give a study's questions families, and a most frequent answer that is right this often."""
    for path in sorted(study.glob("*/predictions.parquet")):
        rows = pd.read_parquet(path)
        answers = rows["kind"] == "answer"
        two = np.where(rows["tag_type"] == "exist", "one_hop", "two_hop")
        rows["tag_family"] = np.where(answers, two, None)
        right = np.random.default_rng(0).random(len(rows)) < usual
        rows["majority_of_family"] = np.where(right, rows["target"], "something else")
        rows.to_parquet(path)
    return study


PLANTED = {"linear": {"exist": 0.7, "count": 0.5}, "blind": {"exist": 0.6, "count": 0.4}}


def test_a_row_is_a_family_and_type_with_blind_above_its_most_frequent_answer(simulated):
    grid = family_table(
        read_study(with_families(simulated.write(bridges=PLANTED, images=400, seed_effect=0)))
    )
    heads = ("family", "questions", "most frequent answer", "blind above it", "linear", "floor: blind")
    assert set(grid.columns) == set(heads)
    rows = {row[0].text: dict(zip(grid.columns, row, strict=True)) for _, row in grid.rows}
    assert list(rows) == ["one hop, exist", "two hop, count"]
    for name, linear, blind in (("one hop, exist", 0.7, 0.6), ("two hop, count", 0.5, 0.4)):
        row = rows[name]
        assert row["questions"] == Cell("400")
        assert float(row["linear"].text) == pytest.approx(100 * linear, abs=4)
        assert float(row["floor: blind"].text) == pytest.approx(100 * blind, abs=4)
        assert float(row["most frequent answer"].text) == pytest.approx(40, abs=6)
        above = float(row["floor: blind"].text) - float(row["most frequent answer"].text)
        assert float(row["blind above it"].text.replace("−", "-")) == pytest.approx(above, abs=0.11)
        assert row["blind above it"].interval


def test_without_training_answers_nothing_is_compared_with_them(simulated):
    study = with_families(simulated.write(bridges=PLANTED, images=6))
    for path in study.glob("*/predictions.parquet"):
        pd.read_parquet(path).assign(majority=None, majority_of_family=None).to_parquet(path)
    columns = family_table(read_study(study)).columns
    assert sorted(columns) == ["family", "floor: blind", "linear", "questions"]


def test_without_families_there_is_no_such_table(simulated):
    assert family_table(read_study(simulated.write(bridges=PLANTED, images=6))) is None


def test_the_report_holds_it_and_the_terminal_does_not(simulated, capsys):
    paths = report(with_families(simulated.write(bridges=PLANTED, images=6)))
    for name in ("table", "page"):
        assert "Accuracy by question family" in paths[name].read_text()
    assert "question family" not in capsys.readouterr().out
