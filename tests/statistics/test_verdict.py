"""The verdict of studies whose truth is planted."""

import re

import numpy as np
import pandas as pd
import pytest

from bridgelab.report.tables.verdict import outlier_seeds, verdict_sentences, verdict_table
from bridgelab.runs.study import read_study
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, HOLDS, LEADS
from bridgelab.statistics.question_kinds import kind_masks
from bridgelab.statistics.verdict import cell_contrasts, verdict

TRUTH = {
    "linear": {"exist": 0.7, "count": 0.5, "query_color": 0.9},
    "qformer": {"exist": 0.7, "count": 0.9, "query_color": 0.5},
    "blind": {"exist": 0.5, "count": 0.3, "query_color": 0.2},
}


@pytest.fixture
def study(simulated):
    return simulated.write(bridges=TRUTH, images=300, seeds=(0, 1, 2), seed_effect=0.002)


def test_planted_differences_are_found(study):
    result = verdict(read_study(study))
    assert {kind: f.outcome for (_, kind), f in result.cells.items()} == {
        "exist": CANNOT_TELL, "count": BREAKS, "query": LEADS,
    }  # fmt: skip
    assert result.cells["qformer", "count"].contrast.value == pytest.approx(-0.4, abs=0.06)
    assert result.comparators == ("qformer",)  # blind sees nothing
    assert result.questions == {"exist": 300, "count": 300, "query": 300}
    text = " ".join(verdict_sentences(result))
    assert "linear against qformer: breaks on count (−38.8 points, " in text
    assert "leads on query (+" in text
    assert "the data cannot tell on exist (" in text
    assert "declare no baseline" in text


def test_differences_equal_means_of_the_rows(study):
    read = read_study(study)
    cells, _ = cell_contrasts(read, "linear")

    def mean(bridge, kind):
        rows = [run.predictions for run in read.of(bridge)]
        return np.mean([r[(r["view"] == "image") & (r["tag_type"] == kind)]["score"].mean() for r in rows])

    assert cells["qformer", "count"].value == pytest.approx(
        mean("linear", "count") - mean("qformer", "count")
    )


def test_the_headline_is_the_difference_beyond_captions(study, change):
    read = read_study(study)
    _, headline = cell_contrasts(read, "linear")
    accuracy = {
        bridge: np.mean([
            r.predictions[(r.predictions["kind"] == "answer") & (r.predictions["view"] == "image")]["score"].mean()
            for r in read.of(bridge)
        ])
        for bridge in ("linear", "qformer")
    }  # fmt: skip
    # All bridges have equal captions in these studies, so nothing is subtracted.
    assert headline["qformer"].value == pytest.approx(accuracy["linear"] - accuracy["qformer"])
    # Captions of a user's table are right only word for word, which says nothing of seeing.
    for path in study.iterdir():
        change(path, metrics={"test/accuracy": 0.7, "test/cider": 1.25})
    assert verdict(read_study(study)).headline == {}


def test_attributes_asked_for_without_a_hop_are_a_control_too(study, change):
    for path in study.glob("*/predictions.parquet"):
        table = pd.read_parquet(path)
        table.loc[table["tag_type"] == "query_color", "tag_hops"] = 0
        table.to_parquet(path)
    read = read_study(study)
    cells, headline = cell_contrasts(read, "linear")
    reasoning = (cells["qformer", "exist"].value + cells["qformer", "count"].value) / 2
    assert headline["qformer"].value == pytest.approx(reasoning - cells["qformer", "query"].value / 2)

    def subtracted():
        (sentence,) = (one for one in verdict_sentences(verdict(read_study(study))) if "Beyond seeing" in one)
        return sentence.partition(" minus that on ")[2].partition(")")[0]

    assert subtracted() == "captions and, if asked, on attributes that take no hop"
    for path in study.iterdir():  # captions of a user's table, which are not subtracted
        change(path, metrics={"test/accuracy": 0.7, "test/cider": 1.25})
    assert subtracted() == "attributes that take no hop"


def test_kinds_of_questions_with_metrics_of_their_own_are_not_averaged():
    """As A-OKVQA has them: options and free answers, without types."""
    kinds = ["choice", "answer", "caption", "answer"]
    masks = kind_masks(pd.DataFrame({"kind": kinds}))
    assert {kind: mask.tolist() for kind, mask in masks.items()} == {
        "answer": [False, True, False, True], "choice": [True, False, False, False],
    }  # fmt: skip
    assert list(kind_masks(pd.DataFrame({"kind": kinds[1:]}))) == ["all"]


def test_bridges_that_answer_alike_hold(simulated):
    alike = {name: {"exist": 0.9} for name in ("linear", "mlp")}
    result = verdict(read_study(simulated.write(bridges=alike, images=2000, seed_effect=0.0)))
    assert result.cells["mlp", "all"].outcome == HOLDS
    assert "holds on all (" in " ".join(verdict_sentences(result))


def test_two_seeds_cannot_tell(simulated):
    result = verdict(read_study(simulated.write(bridges=TRUTH, seeds=(0, 1), images=100)))
    assert {finding.outcome for finding in result.cells.values()} == {CANNOT_TELL}
    assert "cannot tell on any kind of question; 2 of at least 3 seeds." in verdict_sentences(result)[0]


def test_cells_with_too_few_questions_are_not_extrapolated(simulated):
    result = verdict(read_study(simulated.write(bridges=TRUTH, images=4)))
    reasons = {finding.reason for finding in result.cells.values() if finding.outcome == CANNOT_TELL}
    assert reasons == {"4 questions on 4 images are too few"}
    assert "would settle it" not in " ".join(verdict_sentences(result))


def test_a_seed_that_stands_apart_is_warned_of(study):
    assert outlier_seeds(read_study(study)) == []
    path = study / "bridge=qformer,seed=1" / "predictions.parquet"
    table = pd.read_parquet(path)
    pd.read_parquet(path).assign(score=table["score"].where(table["kind"] == "caption", 0.0)).to_parquet(path)
    (text,) = outlier_seeds(read_study(study))
    assert re.match(
        r"A seed stands apart, over 10 points .*: qformer, seed 1 \(0\.0 % beside 68\.\d\)\.", text
    )


def test_one_seed_gives_numbers_without_intervals(simulated):
    result = verdict(read_study(simulated.write(bridges=TRUTH, seeds=(0,), images=50)))
    grid = verdict_table(result)
    assert all(cell.interval == CANNOT_TELL for cell in grid.rows[0][1][1:])
    assert "nan" not in " ".join(cell.text for cell in grid.rows[0][1])


def test_outcomes_of_a_bridge_that_has_not_converged_hold_at_this_budget(simulated, change):
    path = simulated.write(bridges=TRUTH, images=300)
    before = verdict(read_study(path))
    for seed in range(3):
        budgets = [{"steps": 500, "value": 0.5}, {"steps": 1000, "value": 0.6}]
        change(path / f"bridge=qformer,seed={seed}", budgets=budgets)
    result = verdict(read_study(path))
    assert {key: one.outcome for key, one in result.cells.items()} == {
        key: one.outcome for key, one in before.cells.items()
    }
    descriptions = {one.description for (name, _), one in result.cells.items() if name == "qformer"}
    assert BREAKS in {one.outcome for one in before.cells.values()}
    assert descriptions <= {
        CANNOT_TELL,
        f"{BREAKS} at this budget",
        f"{HOLDS} at this budget",
        f"{LEADS} at this budget",
    }
    assert not any(one.at_budget for one in before.cells.values())
    assert verdict_sentences(result)[0].startswith("linear against qformer, at this budget: ")
    assert "one of the two is not shown to have converged" in " ".join(verdict_sentences(result))
    assert "at this budget" not in " ".join(verdict_sentences(before)).lower()


def test_the_records_declare_baseline_and_delta(study, change):
    for path in study.iterdir():
        change(path, verdict={"baseline": "qformer", "delta": 0.3})
    result = verdict(read_study(study))
    assert (result.baseline, result.delta, result.declared) == ("qformer", 0.3, True)
    assert result.cells["linear", "exist"].outcome == HOLDS
    change(next(iter(study.iterdir())), verdict={"baseline": "linear", "delta": 0.02})
    with pytest.raises(ValueError, match=r"declare baseline=linear, delta=0.02; baseline=qformer, delta=0.3"):
        verdict(read_study(study))


def test_pictures_that_belong_together_are_drawn_together(study):
    """Each picture comes six times, as NLVR's six orders of the same boxes, which adds no information."""
    before, _ = cell_contrasts(read_study(study), "linear")
    for path in study.glob("*/predictions.parquet"):
        table = pd.read_parquet(path)
        table = table[table["kind"] == "answer"]
        orders = [
            table.assign(id=table["id"] + f"-{k}", image=f"{k}-" + table["image"], tag_group=table["image"])
            for k in range(6)
        ]
        pd.concat(orders).to_parquet(path)
    after, _ = cell_contrasts(read_study(study), "linear")
    for key, result in after.items():
        assert result.num_images == before[key].num_images
        assert result.standard_error == pytest.approx(before[key].standard_error)


@pytest.mark.parametrize("delta", [-1, 0, 2])
def test_a_declared_delta_that_is_none_is_refused(study, change, delta):
    for path in study.iterdir():
        change(path, verdict={"baseline": "linear", "delta": delta})
    with pytest.raises(
        ValueError, match=rf"verdict.delta={delta}.*: must lie between 0 and 1.*Set verdict.delta"
    ):
        verdict(read_study(study))


def test_there_is_no_verdict_on_one_bridge(simulated):
    one = {name: TRUTH[name] for name in ("linear", "blind")}
    assert verdict(read_study(simulated.write(bridges=one))) is None
    assert (
        verdict(
            read_study(
                simulated.write("other", bridges={"qformer": TRUTH["qformer"], "mlp": TRUTH["linear"]})
            )
        )
        is None
    )
