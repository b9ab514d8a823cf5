"""The search's trials as a table."""

import json

from bridgelab.analysis.records import read_study
from bridgelab.analysis.report import report
from bridgelab.analysis.search import by_trial
from bridgelab.analysis.table import Cell

TWO = {"linear": {"exist": 0.7}, "blind": {"exist": 0.5}}


def searched(study, bridge, trials):
    for path in study.glob(f"bridge={bridge},*/metrics.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"tuning": {"trials": trials}}))


def test_each_trial_is_a_column_and_the_chosen_one_says_so(simulated):
    study = simulated.write(bridges=TWO, images=6)
    searched(study, "linear", {"lr=0.02,warmup=0.05": 0.3, "lr=0.005,warmup=0.05": 0.5})
    searched(study, "blind", {"lr=0.02,warmup=0.05": 0.9, "lr=0.1,warmup=0.2": 0.8})
    grid = by_trial(read_study(study))
    assert grid.heads == ("bridge", "lr 0.005, warm-up 0.05", "lr 0.02, warm-up 0.05", "lr 0.1, warm-up 0.2")
    rows = {cells[0].text: cells[1:] for _, cells in grid.rows}
    assert rows["linear"] == (Cell("0.500"), Cell("0.300", "chosen"), Cell("–"))
    assert rows["floor: blind"] == (Cell("–"), Cell("0.900"), Cell("0.800", "chosen"))
    for name in ("table", "page"):
        assert "each trial of the search" in report(study)[name].read_text()


def test_without_a_search_there_is_no_such_table(simulated):
    assert by_trial(read_study(simulated.write(bridges=TWO, images=6))) is None
