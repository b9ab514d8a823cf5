"""Each chart holds the numbers of its study, as Vega-Lite reads them."""

import json
import shutil

import altair as alt
import numpy as np
import pandas as pd
import pytest

from bridgelab.report.charts.break_map import break_map_numbers
from bridgelab.report.charts.budgets import budget_numbers
from bridgelab.report.charts.costs import cost_numbers
from bridgelab.report.charts.difficulty import difficulty_numbers
from bridgelab.report.charts.encodings import BridgeScales
from bridgelab.report.charts.gap import gap_numbers
from bridgelab.report.charts.lines import line_chart
from bridgelab.report.charts.study import break_map_figure, study_figures
from bridgelab.report.charts.sweep import sweep_numbers, swept_number
from bridgelab.report.contents import analyze
from bridgelab.runs.study import read_study
from bridgelab.statistics.break_map import break_map
from bridgelab.statistics.outcome import BREAKS


def drawn(study):
    analysis = analyze(read_study(study))
    found = study_figures(
        analysis.study, analysis.summary, analysis.difficulties, analysis.break_map, analysis.diagnoses
    )
    return analysis, {figure.name: figure for figure in found}


def units(spec):
    """All parts of a specification that have a mark."""
    return [unit for layer in spec["layer"] for unit in units(layer)] if "layer" in spec else [spec]


def rows(chart, mark, **of_mark):
    """The data behind the marks of one kind, from the specification that is drawn."""
    spec = chart.to_dict()
    found = []
    for layer in [spec, *spec.get("layer", [])]:
        for unit in units(layer):
            if unit["mark"]["type"] == mark and all(
                unit["mark"].get(key) == value for key, value in of_mark.items()
            ):
                data = unit.get("data") or layer.get("data") or spec.get("data")
                found.append(pd.DataFrame(spec["datasets"][data["name"]]))
    assert found, f"no {mark}"
    return found[0]


@pytest.fixture
def study(simulated):
    """A study with a tag that counts something."""
    path = simulated.write(images=60, converged=False)
    for file in path.glob("*/predictions.parquet"):
        table = pd.read_parquet(file)
        table.assign(tag_objects=table["image"].str.extract(r"(\d+)")[0].astype(int) % 3 + 3).to_parquet(file)
    return path


def test_a_study_has_every_figure_that_it_has_numbers_for(study):
    _, found = drawn(study)
    assert list(found) == ["accuracy", "gap", "difficulty", "budgets", "costs", "captions"]
    for figure in found.values():
        assert figure.note.endswith(".")
        for panel in figure.panels:
            spec = panel.to_dict()
            assert spec["width"] == "container"
            assert "config" not in spec or "background" not in spec["config"]
            json.dumps(spec, allow_nan=False)


def test_dots_are_seeds_and_shapes_their_means(study):
    _, found = drawn(study)
    (chart,) = found["accuracy"].panels
    seeds = rows(chart, "point", shape="circle", size=26)
    means = rows(chart, "point", size=75)
    frame = pd.concat(
        pd.read_parquet(path / "predictions.parquet").assign(bridge="qformer")
        for path in sorted(study.glob("bridge=qformer,*"))
    )
    one = frame[(frame["view"] == "image") & (frame["tag_type"] == "exist")]
    expected = [100 * part["score"].mean() for _, part in one.groupby((one["id"] == "0-exist").cumsum())]
    shown = seeds[(seeds["bridge"] == "qformer") & (seeds["kind"] == "exist")]["accuracy"]
    assert sorted(shown) == pytest.approx(sorted(expected), abs=0.051)
    mean = means[(means["bridge"] == "qformer") & (means["kind"] == "exist")].iloc[0]
    assert mean["accuracy"] == pytest.approx(np.mean(expected), abs=0.051)
    assert mean["low"] < mean["accuracy"] < mean["high"]
    assert set(means["bridge"]) == {"linear", "mlp", "qformer", "perceiver"}


def test_labels_of_several_lines_are_centred_in_their_bands(study):
    _, found = drawn(study)
    (chart,) = found["accuracy"].panels
    unit = next(one for one in units(chart.to_dict()) if one["encoding"]["y"].get("axis"))
    offset = unit["encoding"]["y"]["axis"]["labelOffset"]
    heights = {1 + rows(chart, "point", size=75)["band"].str.count("\n").max(), 2}
    for lines in heights:
        (value,) = [one["value"] for one in offset["condition"] if one["test"].endswith(f"== {lines}")]
        assert value == -7 * (lines - 1)


def test_a_wide_band_is_left_out_and_a_narrow_one_drawn():
    frame = pd.DataFrame({"x": ["1", "2"], "accuracy": 50.0, "low": [40.0, 10.0], "high": [60.0, 90.0]})
    frame = frame.assign(bridge="linear", role="bridge", name="linear")
    scales = BridgeScales(["linear"], ["linear"])
    band = rows(line_chart(frame, alt.X("x:O"), scales, title="objects"), "area")
    assert band["band_low"].tolist()[0] == 40
    assert band[["band_low", "band_high"]].isna().all(axis=1).tolist() == [False, True]


def test_floors_and_ceilings_are_lines_across_a_kind(study):
    analysis, found = drawn(study)
    (chart,) = found["accuracy"].panels
    spec = chart.to_dict()
    (line,) = [
        one for one in units(spec) if one["mark"]["type"] == "rule" and "strokeDash" in one["encoding"]
    ]
    assert (line["encoding"]["y"]["bandPosition"], line["encoding"]["y2"]["bandPosition"]) == (0, 1)
    data = pd.DataFrame(spec["datasets"][line["data"]["name"]])
    by_name = {row.label: row for row in analysis.summary.rows}
    assert set(data["line"]) == {row.label for row in analysis.summary.rows if row.role != "bridge"}
    blind = data[(data["line"] == "floor: blind") & (data["kind"] == "all questions")]["accuracy"].item()
    assert blind == pytest.approx(100 * by_name["floor: blind"].accuracy["all"].value, abs=0.051)


def test_no_axis_of_accuracy_begins_at_zero_for_nothing(study):
    _, found = drawn(study)
    for name in ("accuracy", "difficulty", "budgets", "costs", "captions"):
        for panel in found[name].panels:
            for unit in units(panel.to_dict()):
                for channel in unit["encoding"].values():
                    if isinstance(channel, dict) and channel.get("field") in ("accuracy", "low", "captions"):
                        assert channel["scale"]["zero"] is False


def test_every_chart_of_a_study_gives_a_bridge_one_colour(study):
    _, found = drawn(study)
    colours = {}
    for figure in found.values():
        for panel in figure.panels:
            for unit in units(panel.to_dict()):
                scale = unit["encoding"].get("color", {}).get("scale")
                for bridge, colour in zip(scale["domain"], scale["range"], strict=True) if scale else ():
                    colours.setdefault(bridge, set()).add(colour)
    assert set(colours) == {"linear", "mlp", "qformer", "perceiver"}
    assert all(len(used) == 1 for used in colours.values())
    assert len(set.union(*colours.values())) == 4


def test_the_gap_is_that_of_the_table_and_an_endless_interval_ends_at_the_axis(study):
    analysis, found = drawn(study)
    frame = gap_numbers(analysis.summary)
    (row,) = [row for row in analysis.summary.rows if row.name == "linear"]
    shown = frame[(frame["bridge"] == "linear") & (frame["kind"] == "all questions")].iloc[0]
    assert shown["gap closed"] == pytest.approx(100 * row.gap["all"].value, abs=0.051)
    assert shown["low"] == pytest.approx(100 * row.gap["all"].interval[0], abs=0.051)
    data = rows(found["gap"].panels[0], "point")
    assert data[["low", "high"]].notna().all().all()


def test_difficulty_goes_over_the_levels_and_shares_one_axis(study):
    analysis, found = drawn(study)
    (objects,) = [one for one in analysis.difficulties if one.tag == "objects"]
    frame = difficulty_numbers(objects, analysis.summary)
    shown = frame[frame["bridge"] == "mlp"]
    assert list(shown["level"]) == ["3", "4", "5"]
    assert list(shown["accuracy"]) == pytest.approx(
        [100 * one.value for one in objects.accuracy["mlp"]], abs=0.051
    )
    domains = {
        tuple(unit["encoding"]["y"]["scale"]["domain"])
        for panel in found["difficulty"].panels
        for unit in units(panel.to_dict())
        if unit["mark"]["type"] == "area"
    }
    assert len(domains) == 1


def test_budgets_are_points_and_curves_are_lines(study):
    analysis, found = drawn(study)
    points = rows(found["budgets"].panels[0], "point")
    (row,) = [row for row in analysis.summary.rows if row.name == "linear"]
    expected = 100 * row.convergence.accuracy.mean(axis=0)
    shown = points[points["bridge"] == "linear"]
    assert list(shown["step"]) == [500, 1000]
    assert list(shown["accuracy"]) == pytest.approx(list(expected), abs=0.051)
    means = rows(found["budgets"].panels[0], "line", strokeWidth=2.2)
    assert list(means[means["bridge"] == "linear"]["step"]) == [0, 400, 800, 1000]


def test_without_recorded_budgets_the_end_of_the_curves_is_shown(study, change):
    for path in study.glob("bridge=*"):
        change(path, budgets=[])
    analysis, _ = drawn(study)
    assert set(budget_numbers(analysis.summary)["steps"]) == {1000}


def test_what_costs_more_and_is_worse_is_hollow(simulated, change):
    planted = {"linear": {"exist": 0.95, "count": 0.9}, "mlp": {"exist": 0.4, "count": 0.4}}
    path = simulated.write(bridges=planted, images=400)
    for run in path.glob("bridge=mlp,*"):
        costs = json.loads((run / "metrics.json").read_text())["costs"]
        change(run, costs=costs | {"trainable_parameters": 99_000})
    analysis, found = drawn(path)
    frame = cost_numbers(analysis.summary).set_index(["cost", "bridge"])["on the front"]
    assert frame["trainable parameters", "linear"] == "yes"
    assert frame["trainable parameters", "mlp"] == "no"
    parameters = found["costs"].panels[1]
    assert list(rows(parameters, "point", filled=True)["bridge"]) == ["linear"]
    assert list(rows(parameters, "point", filled=False)["bridge"]) == ["mlp"]


def test_a_swept_number_is_an_axis_with_a_line_for_each_bridge(simulated):
    path = simulated.write(images=6)
    for run in sorted(path.glob("bridge=*")):
        name, seed = run.name.split(",")
        levels = {"bridge=qformer": (4, 64), "bridge=perceiver": (4, 64), "bridge=blind": (4,)}.get(name, ())
        for tokens in levels:
            new = path / f"{name},budget.tokens={tokens},{seed}"
            shutil.copytree(run, new)
            record = json.loads((run / "metrics.json").read_text()) | {"overrides": new.name}
            (new / "metrics.json").write_text(json.dumps(record))
        shutil.rmtree(run)
    analysis, found = drawn(path)
    assert next(iter(found)) == "sweep"
    figure = found["sweep"]
    assert figure.title == "Accuracy over tokens"
    assert len(figure.panels) == 6  # all questions and five kinds
    spec = figure.panels[0].to_dict()
    line = next(unit for unit in units(spec) if unit["mark"]["type"] == "line")
    assert line["encoding"]["x"]["scale"]["type"] == "log"
    assert line["encoding"]["color"]["scale"]["domain"] == ["perceiver", "qformer"]
    data = rows(figure.panels[0], "line")
    assert sorted(set(data["x"])) == [4, 64]
    assert set(sweep_numbers(analysis.summary, swept_number(analysis.study))["bridge"]) == {
        "perceiver",
        "qformer",
        "floor: blind",
        "floor: shuffled",
        "floor: majority",
    }


def test_a_study_that_varies_a_word_has_no_such_axis(simulated):
    _, found = drawn(simulated.write(images=6))
    assert "sweep" not in found


def test_a_map_has_colour_and_sign_and_says_why_a_row_is_empty(simulated, change):
    alike, broken = {"exist": 0.7, "count": 0.5}, {"exist": 0.7, "count": 0.25}
    studies = [
        simulated.write(name, bridges={"linear": linear, "qformer": alike}, images=700, seed_effect=0.0)
        for name, linear in (("near", alike), ("far", broken), ("short", alike))
    ]
    for run in studies[-1].iterdir():
        change(run, examples_seen=32000)
    studies.append(simulated.write("mlp", bridges={"linear": alike, "mlp": alike}, images=40))
    mapped = break_map([read_study(path) for path in studies])
    figure = break_map_figure(mapped)
    (chart,) = figure.panels
    spec = chart.to_dict()
    shown = next(unit["encoding"]["y"]["scale"]["domain"] for unit in units(spec))
    assert shown == [
        "qformer, near",
        "qformer, far",
        "qformer, short",
        "mlp, mlp",
    ]  # no row for a level that a bridge lacks
    signs = rows(chart, "text")
    cell = signs[(signs["level"] == "far") & (signs["kind"] == "count")].iloc[0]
    assert cell["outcome"] == BREAKS
    assert cell["text"].startswith("▼ −2")
    styles = {
        unit["transform"][0]["filter"]["equal"]: unit["mark"]["style"]
        for unit in units(spec)
        if "style" in unit["mark"] and "transform" in unit
    }
    assert styles[BREAKS] == "cell-breaks"
    assert len(set(styles.values())) == 4
    reasons = [one["reason"] for name, data in spec["datasets"].items() for one in data if one.get("reason")]
    assert "trained on 32,000 examples, the centre on 64,000" in reasons
    numbers = break_map_numbers(mapped).set_index(["level", "kind"])
    numbers = numbers[numbers["comparator"] == "qformer"]
    for (comparator, level, kind), finding in mapped.cells.items():
        if comparator == "qformer":  # the digits that the terminal prints
            assert f"{numbers.loc[(level, kind), 'difference']:.1f}" == f"{100 * finding.contrast.value:.1f}"


def test_without_a_question_there_is_no_accuracy_to_draw(simulated):
    path = simulated.write(bridges={"linear": {}}, images=6)
    analysis = analyze(read_study(path))
    found = study_figures(analysis.study, analysis.summary, (), None)
    assert "accuracy" not in {figure.name for figure in found}
    for figure in found:
        json.dumps([panel.to_dict() for panel in figure.panels], allow_nan=False)
