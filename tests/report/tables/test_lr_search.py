"""The search's trials as a table."""

import json

from bridgelab.report.table import Cell
from bridgelab.report.tables.lr_search import lr_search_table
from bridgelab.report.write import report
from bridgelab.runs.study import read_study

TWO = {"linear": {"exist": 0.7}, "blind": {"exist": 0.5}}


def searched(study, bridge, trials):
    for path in study.glob(f"bridge={bridge},*/metrics.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"tuning": {"trials": trials}}))


def test_each_rate_is_a_column_and_so_is_each_warm_up_at_the_best_one(simulated):
    study = simulated.write(bridges=TWO, images=6)
    usual = {"lr=0.02,warmup=0.05": 0.3, "lr=0.005,warmup=0.05": 0.5}
    searched(study, "linear", usual | {"lr=0.02,warmup=0.2": 0.4})
    searched(study, "blind", usual | {"lr=0.04,warmup=0.05": 0.9, "lr=0.005,warmup=0.2": 0.25})
    grid = lr_search_table(read_study(study))
    rates = ("lr 0.005, warm-up 0.05", "lr 0.02, warm-up 0.05", "lr 0.04, warm-up 0.05")
    assert grid.columns == ("bridge", *rates, "at the best, warm-up 0.2")
    rows = {cells[0].text: cells[1:] for _, cells in grid.rows}
    assert rows["linear"] == (Cell("0.500"), Cell("0.300", "chosen"), Cell("–"), Cell("0.400"))
    assert rows["floor: blind"] == (Cell("0.500"), Cell("0.300"), Cell("0.900"), Cell("0.250", "chosen"))
    for name in ("table", "page"):
        assert "each trial of the search" in report(study)[name].read_text()


def test_what_half_of_the_steps_would_have_chosen_stands_below(simulated):
    study = simulated.write(bridges=TWO, images=6)
    trials = {"lr=0.02,warmup=0.05": 0.3, "lr=0.005,warmup=0.05": 0.5}
    for bridge, half in (("linear", (0.6, 0.7)), ("blind", (0.9, 0.8))):
        searched(study, bridge, trials)
        for path in study.glob(f"bridge={bridge},*/metrics.json"):
            record = json.loads(path.read_text())
            record["tuning"]["at_half"] = dict(zip(trials, half, strict=True))
            path.write_text(json.dumps(record))
    grid = lr_search_table(read_study(study))
    rows = {cells[0].text: cells[1:] for _, cells in grid.rows}
    assert rows["linear"] == (Cell("0.500", "half: 0.700"), Cell("0.300", "chosen; half: 0.600, chosen"))
    assert rows["floor: blind"] == (
        Cell("0.500", "half: 0.800, chosen"),
        Cell("0.300", "chosen; half: 0.900"),
    )
    assert "would have chosen another rate for blind:" in report(study)["table"].read_text()
    for path in study.glob("bridge=linear,*/metrics.json"):  # a search whose trials are not all finalists
        record = json.loads(path.read_text())
        record["tuning"]["trials"] = {"lr=0.005,warmup=0.05": 0.5}
        path.write_text(json.dumps(record))
    rows = {cells[0].text: cells[1:] for _, cells in lr_search_table(read_study(study)).rows}
    assert rows["linear"] == (Cell("0.500", "chosen; half: 0.700"), Cell("–", "half: 0.600, chosen"))
    for path in study.glob("*/metrics.json"):  # somebody's record, which says half of it
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"tuning": {"at_half": {"lr=0.02,warmup=0.05": 0.6}}}))
    assert "would have chosen" not in report(study)["table"].read_text()


def test_without_a_search_there_is_no_such_table(simulated):
    assert lr_search_table(read_study(simulated.write(bridges=TWO, images=6))) is None
