"""The shares of the variance between runs, of planted accuracies."""

import json
import shutil

import pandas as pd
import pytest

from bridgelab.report.tables.seed_variance import seed_variance_table
from bridgelab.report.write import report
from bridgelab.runs.study import read_study

BRIDGES = {"linear": {"exist": 0.5}, "qformer": {"exist": 0.5}}
INIT = {"linear": (0.40, 0.50, 0.60), "qformer": (0.45, 0.50, 0.55)}
ORDER = (-0.02, 0.0, 0.02)
SEARCH = (0.0, 0.01)
IMAGES = 400


def plant(simulated, change, combinations):
    """Write a run of both bridges for each (seed, data seed, search seed), whose accuracy is the sum of its seeds' effects."""
    study = simulated.write(bridges=BRIDGES, seeds=(0,), images=IMAGES)
    for bridge in BRIDGES:
        first = study / f"bridge={bridge},seed=0"
        for seed, order, search in combinations:
            name = f"bridge={bridge},data_seed={order},seed={seed},tune.seed={search}"
            shutil.copytree(first, study / name)
            rows = pd.read_parquet(study / name / "predictions.parquet")
            answers = rows[(rows["kind"] == "answer") & (rows["view"] == "image")].index
            right = round(IMAGES * (INIT[bridge][seed] + ORDER[order] + SEARCH[search]))
            rows.loc[answers, "score"] = [float(place < right) for place in range(len(answers))]
            rows.to_parquet(study / name / "predictions.parquet")
            change(study / name, overrides=name, seed=seed, data_seed=order)
            (study / name / "config.yaml").write_text(json.dumps({"bridge": {}, "tune": {"seed": search}}))
        shutil.rmtree(first)
    return study


CROSSED = [(seed, order, 0) for seed in range(3) for order in range(3)]


def test_planted_effects_are_found(simulated, change):
    study = plant(simulated, change, CROSSED)
    table = seed_variance_table(read_study(study))
    assert table.columns == ("bridge", "init", "order of examples", "interaction", "runs")
    rows = {cells[0].text: cells[1:] for _, cells in table.rows}
    # Effects add up exactly, so the analysis of variance gives each its own: 10, 5 and 2 points, and no interaction.
    for name, deviation in (("linear", 10.0), ("qformer", 5.0), ("linear − qformer", 5.0)):
        init, order, interaction, runs = rows[name]
        assert init.number.value == pytest.approx(deviation, rel=0.05)
        assert order.number.value == pytest.approx(0.0 if "−" in name else 2.0, abs=0.15)
        assert interaction.number.value < 0.2
        assert runs.text == "9"
    assert [cell.interval.rpartition("; ")[2] for cell in rows["linear"][:2]] == ["96 %", "4 %"]
    assert "What makes runs differ" in report(study)["page"].read_text()


def test_a_search_with_another_seed_is_a_factor_of_the_same_row(simulated, change):
    study = plant(simulated, change, [*CROSSED, *((seed, 0, 1) for seed in range(3))])
    table = seed_variance_table(read_study(study))
    assert table.columns == (
        "bridge",
        "init",
        "order of examples",
        "search for the rate",
        "interaction",
        "runs",
    )
    assert [cells[0].text for _, cells in table.rows] == ["linear", "qformer", "linear − qformer"]
    search = table.rows[0][1][3]
    assert search.number.value == pytest.approx(0.7, abs=0.1)  # of 0 and 1 point
    assert table.rows[0][1][-1].text == "12"


def test_seeds_that_vary_together_have_no_shares(simulated, change):
    study = plant(simulated, change, [(seed, seed, 0) for seed in range(3)])
    assert seed_variance_table(read_study(study)) is None
