"""A/A splits: quiet if seeds are alike, loud if one half was planted to differ."""

import re
from math import comb

import pytest

from bridgelab.cli.main import main
from bridgelab.report.answer import compared
from bridgelab.report.charts.accuracy import accuracy_numbers
from bridgelab.report.charts.study import accuracy_figure
from bridgelab.report.contents import analyze
from bridgelab.report.evidence import evidence
from bridgelab.report.summary import summarize
from bridgelab.report.tables.power_plan import plan_records, plan_tables
from bridgelab.runs.study import read_study
from bridgelab.statistics.calibration.aa import judge_all_splits, judge_splits, seed_splits
from bridgelab.statistics.power.plan import plan
from bridgelab.statistics.verdict import verdict

KINDS = ("exist", "count", "query_color")
ALIKE = {name: dict.fromkeys(KINDS, 0.7) for name in ("linear", "qformer")}


def test_every_way_to_part_the_seeds_is_tried_once(simulated):
    study = read_study(simulated.write(bridges=ALIKE, images=20, seeds=tuple(range(7))))
    halves = []
    for one in seed_splits(study, "qformer"):
        assert one.bridges == ("qformer", "qformer again")
        first, second = (frozenset(run.seed for run in one.of(name)) for name in one.bridges)
        assert first | second == set(range(6))  # the seventh is left out
        assert not first & second
        halves.append(frozenset((first, second)))
    assert len(set(halves)) == len(halves) == comb(6, 3) / 2


def test_a_bridge_is_not_told_from_itself(simulated):
    study = read_study(simulated.write(bridges=ALIKE, images=600, seeds=tuple(range(6)), seed_effect=0.01))
    result = judge_splits(study, "linear")
    assert (result.seeds, result.splits) == (6, 10)
    assert result.alarms == 0
    assert result.covers >= 0.9
    assert 0 < result.largest < 0.1


def test_seeds_that_differ_are_told(simulated):
    """Three of six inits never left a plateau; one of the ten splits has all of them in one half."""
    path = simulated.write(bridges=ALIKE, images=300, seeds=(0, 1, 2), seed_effect=0.0)
    low = {name: dict.fromkeys(KINDS, 0.3) for name in ALIKE}
    simulated.write(bridges=low, images=300, seeds=(3, 4, 5), seed_effect=0.0)
    result = judge_splits(read_study(path), "linear")
    assert result.alarms == 1
    assert result.largest == pytest.approx(0.4, abs=0.07)


def test_curves_that_still_rise_hide_no_alarm(simulated):
    path = simulated.write(bridges=ALIKE, images=300, seeds=(0, 1, 2), seed_effect=0.0, converged=False)
    low = {name: dict.fromkeys(KINDS, 0.3) for name in ALIKE}
    simulated.write(bridges=low, images=300, seeds=(3, 4, 5), seed_effect=0.0, converged=False)
    assert judge_splits(read_study(path), "linear").alarms == 1


def test_captions_alone_are_nothing_to_judge_by(simulated):
    study = simulated.write(bridges={"linear": {}}, images=20, seeds=tuple(range(6)))
    with pytest.raises(
        ValueError, match="has no questions, or one image alone: there is nothing to judge linear by"
    ):
        judge_all_splits(read_study(study))


def test_too_few_seeds_are_refused(simulated):
    study = simulated.write(bridges=ALIKE, images=20, seeds=tuple(range(5)))
    with pytest.raises(ValueError, match=r"linear of .* has 5 seeds: at least 6 are needed"):
        judge_all_splits(read_study(study))


def crossed(simulated, change, orders):
    """Write a study of three inits in each of some orders of examples."""
    study = simulated.write(bridges=ALIKE, images=200, seeds=tuple(range(3 * orders)))
    for run in study.iterdir():
        seed = int(run.name.rpartition("=")[2])
        change(run, seed=seed % 3, data_seed=seed // 3)
    return study


def test_orders_are_split_where_seeds_are_averaged(simulated, change, capsys):
    study = crossed(simulated, change, orders=7)
    for one in seed_splits(read_study(study), "linear"):
        halves = [{run.data_seed for run in one.of(name)} for name in one.bridges]
        assert [len(half) for half in halves] == [3, 3]
        assert not halves[0] & halves[1]
        assert len(one.runs) == 18
    result = judge_splits(read_study(study), "linear")
    assert (result.seeds, result.splits, result.alarms) == (6, 10, 0)
    assert result.covers > 0.9
    assert main(["calibrate", str(study)]) == 0
    assert "data_seed" in capsys.readouterr().out


def test_two_orders_are_too_few(simulated, change):
    """Of six runs, which are enough if they are seeds."""
    study = read_study(crossed(simulated, change, orders=2))
    with pytest.raises(
        ValueError,
        match=r"linear of .* has 2 orders of examples \(data_seed\): at least 6 are .* data_seed=0,1",
    ):
        judge_all_splits(study)
    summary = summarize(study, intervals=False)
    assert "6 runs each, averaged to 2 orders of examples (data_seed);" in compared(summary)
    # Nor does the page call them seeds, or the plan.
    assert "dots single orders of examples;" in accuracy_figure(summary).note
    assert accuracy_numbers(summary).columns[-1] == "orders of examples"
    _, comparisons = evidence(analyze(study))
    (one, *_) = comparisons[0].cases
    assert all(re.search(r" % \(orders of examples [\d.]+, [\d.]+\)$", text) for text in one.accuracies)
    planned = plan(study)
    assert plan_tables(planned).tables[0].columns[1] == "orders of examples (data_seed)"
    assert {record["counted"] for record in plan_records(planned)} == {"orders of examples (data_seed)"}
    reasons = {finding.reason for finding in verdict(study).cells.values()}
    assert reasons == {"2 of at least 3 orders of examples (data_seed)"}


def test_a_study_without_such_a_bridge_is_refused(simulated):
    study = simulated.write(bridges={"blind": {"exist": 0.5}}, images=20)
    with pytest.raises(ValueError, match="no trained bridge that sees images"):
        judge_all_splits(read_study(study))


def test_a_row_a_bridge(simulated, capsys):
    study = simulated.write(bridges=ALIKE, images=50, seeds=tuple(range(6)))
    assert main(["calibrate", str(study)]) == 0
    text = capsys.readouterr().out
    assert "the same bridge under two names, δ = 2 points" in text
    assert "qformer" in text
    assert "again" not in text
