"""A planted shift: what each bridge loses on another split, and how a difference changes with it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from simulated_study import Simulated

from bridgelab.cli import main as cli
from bridgelab.report.answer import without_baseline
from bridgelab.report.provenance import reproduction
from bridgelab.report.tables.shift import join_splits, shift_of, shift_sentences, shift_table
from bridgelab.report.write import report
from bridgelab.runs.study import read_study

KINDS = ("exist", "count", "query_color", "compare_shape", "greater_than")
PLAIN = {"linear": 0.8, "mlp": 0.8, "qformer": 0.75, "blind": 0.4, "words": 0.95}
LOSS = {"linear": 0.30, "mlp": 0.30, "qformer": 0.05, "blind": 0.0, "words": 0.0}


def renamed(study, split, told):
    """As a run on such a split writes its images' names and its record."""
    for run in study.glob("bridge=*"):
        rows = pd.read_parquet(run / "predictions.parquet")
        rows["image"] = [f"{split}/CLEVR_{split}_{name}" for name in rows["image"]]
        rows.to_parquet(run / "predictions.parquet")
        record = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(record | told))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Both studies, of which each test changes a copy."""
    simulated = Simulated(tmp_path_factory.mktemp("shift"))

    def truth(loss):
        return {name: dict.fromkeys(KINDS, PLAIN[name] - loss * LOSS[name]) for name in PLAIN}

    plain = simulated.write("toy", bridges=truth(0), images=200)
    renamed(plain, "test", {"benchmark": "world"})
    shifted = simulated.write("toy_on_world_test-clutter", bridges=truth(1), images=200, draw=1)
    told = {
        "benchmark": "world_test-clutter",
        "split": "test-clutter",
        "trained_on": "world",
        "trained_in": "toy",
    }
    renamed(shifted, "test-clutter", told)
    return simulated.root


@pytest.fixture
def shifted(written, tmp_path):
    return shutil.copytree(written, tmp_path / "runs") / "toy_on_world_test-clutter"


def test_changes_are_found_and_paired(shifted):
    found = shift_of(read_study(shifted))
    assert (found.plain, found.split, found.baseline) == ("test", "test-clutter", "linear")
    for name, (before, after) in found.accuracy.items():
        low, high = (after - before).interval
        assert low - 0.02 < -LOSS[name] < high + 0.02, name
    assert found.change["qformer"].outcome == "breaks"
    low, high = found.change["qformer"].contrast.interval()
    assert low < -0.25 < high
    assert found.change["mlp"].outcome != "breaks"
    assert set(found.change) == {"mlp", "qformer"}


def test_what_is_kept_above_blind(shifted):
    found = shift_of(read_study(shifted))
    for name in ("linear", "mlp", "qformer", "words"):
        truth = (PLAIN[name] - LOSS[name] - 0.4) / (PLAIN[name] - 0.4)
        assert found.kept[name].value == pytest.approx(truth, abs=0.1), name
        (before, after), (below, under) = found.accuracy[name], found.accuracy["blind"]
        expected = (after.value - under.value) / (before.value - below.value)
        assert found.kept[name].value == pytest.approx(expected)
    assert found.kept["blind"] is None  # nothing of nothing
    assert any(one.startswith("Kept above blind") for one in shift_sentences(found))
    for run in shifted.glob("bridge=blind*"):
        shutil.rmtree(run)
    assert shift_of(read_study(shifted)).kept == {}


def test_the_contrast_is_that_of_a_loop_over_questions(shifted):
    study = read_study(shifted)
    first = read_study(shifted.parent / "toy")
    both, after = join_splits(first, study, "test-clutter", "test")
    assert set(both.examples["image"]) == set(first.examples["image"])  # the same scenes, drawn together

    def mean(of, name):
        return np.mean([run.scores["image"][of.questions.index].mean() for run in of.of(name)])

    expected = (mean(study, "linear") - mean(study, "qformer")) - (
        mean(first, "linear") - mean(first, "qformer")
    )
    assert shift_of(study).change["qformer"].contrast.value == pytest.approx(expected)
    assert after.sum() == len(study.questions)


def test_it_is_reported(shifted, monkeypatch):
    monkeypatch.chdir(shifted)
    report(".")
    page = (shifted / "index.html").read_text()
    assert "What test-clutter changes" in page
    printed = (shifted / "table.md").read_text()
    assert (
        "| bridge | test | test-clutter | change | kept above blind, % | change of linear − it |" in printed
    )
    assert (
        "From test to test-clutter: the change of linear's difference to a bridge breaks where linear loses over 2"
        in printed
    )


def test_it_is_evaluated_again_and_not_trained(shifted):
    toy = shifted.parent / "toy"
    *runs, split, name = reproduction(read_study(shifted)).split(" ")[2:]
    assert (split, name) == ("--split", "test-clutter")
    assert sorted(runs) == sorted(str(toy / run.name) for run in shifted.iterdir())
    for run in shifted.glob("bridge=*"):
        if "linear" in run.name:
            shutil.rmtree(run)
        elif "blind" in run.name:  # the first one tells how
            (run / "overrides.yaml").write_text("task: [benchmark.seed=4]")
    assert (
        reproduction(read_study(shifted)).splitlines()[0].endswith(" --split test-clutter benchmark.seed=4")
    )
    evaluate = f"bridgelab evaluate {toy}/* --split test-clutter benchmark.seed=4"
    (why,) = without_baseline(read_study(shifted))
    assert why.endswith(f"has no finished run. Add it: {evaluate}")
    for run in toy.glob("bridge=linear,*"):
        shutil.rmtree(run)
    (why,) = without_baseline(read_study(shifted))
    assert why.endswith(f": bridgelab study {toy} --add bridge=linear && {evaluate}")
    source = f"{shifted.parent}/my.safetensors"
    for run in shifted.glob("bridge=*"):
        record = json.loads((run / "metrics.json").read_text())
        del record["trained_in"], record["trained_on"]
        (run / "metrics.json").write_text(json.dumps(record | {"study": "published_on_world_test-clutter"}))
        (run / "overrides.yaml").unlink(missing_ok=True)
        (run / "config.yaml").write_text(f"bridge: {{init_from: {source}}}")
    assert (
        f"bridgelab evaluate --bridge {source} --split test-clutter bridge=mlp benchmark=world"
        in reproduction(read_study(shifted)).splitlines()
    )


def test_a_row_that_one_study_lacks_is_left_out(shifted):
    for run in (shifted.parent / "toy").glob("bridge=mlp,*"):
        shutil.rmtree(run)
    shutil.rmtree(shifted.parent / "toy" / "bridge=qformer,seed=2")
    found = shift_of(read_study(shifted))
    assert set(found.accuracy) == {"linear", "qformer", "blind", "words"}
    assert found.change["qformer"].reason == "2 of at least 3 seeds"


def test_keys_that_are_allowed_to_differ_are_so_in_the_study_of_the_training_too(shifted, capsys):
    for study in (shifted, shifted.parent / "toy"):
        for run in study.glob("bridge=*"):
            own = "{limit: 4}" if study == shifted else "{}"  # a key that only the evaluations have
            rate = 0.1 if "linear" in run.name else 0.2
            (run / "config.yaml").write_text(f"train: {{lr: {rate}}}\nevaluate: {own}\n")
    allowed = ["train.lr", "evaluate.limit"]
    assert shift_of(read_study(shifted, allow=allowed)).change["qformer"].outcome == "breaks"
    with pytest.raises(ValueError, match=r"evaluate\.limit: no run of .*toy has such a key"):
        read_study(shifted.parent / "toy", allow=allowed)
    for run in shifted.glob("bridge=*"):
        (run / "config.yaml").unlink()
    with pytest.raises(
        ValueError,
        match=r"toy_on_world_test-clutter is compared with toy, .* the same --allow holds for both\. train\.lr=0\.1 in",
    ):
        shift_of(read_study(shifted))
    toy = str(shifted.parent / "toy")
    assert cli.main(["map", toy]) == 2
    assert "train.lr=0.1 in bridge=" in capsys.readouterr().err
    assert cli.main(["map", toy, "--allow", "train.lr"]) == 0
    assert "Differs between the runs above, and was allowed to: train.lr: " in capsys.readouterr().out


def test_runs_of_one_level_alone_are_found_among_all_levels(shifted, change):
    """Their study names a row by its bridge alone, and the other names the level too."""
    expected = shift_of(read_study(shifted))
    for study in (shifted, shifted.parent / "toy"):
        for run in sorted(study.glob("bridge=qformer,*")):
            for tokens in (16, 4):
                of_level = shutil.copytree(run, run.with_name(f"{run.name},budget.tokens={tokens}"))
                change(of_level, overrides=of_level.name)
                if tokens == 4 and study == shifted:
                    shutil.rmtree(of_level)
                elif tokens == 4:
                    rows = pd.read_parquet(of_level / "predictions.parquet")
                    rows.assign(score=0.0).to_parquet(of_level / "predictions.parquet")
            shutil.rmtree(run)
    rows = "hydra: {overrides: {task: ['budget.tokens=16,4']}}"
    (shifted.parent / "toy" / "multirun.yaml").write_text(rows)
    assert "qformer, budget.tokens=16" in read_study(shifted.parent / "toy").bridges
    found = shift_of(read_study(shifted))
    assert found.accuracy["qformer"][0].value == pytest.approx(expected.accuracy["qformer"][0].value)
    assert set(found.accuracy) == set(expected.accuracy)
    for study in (shifted, shifted.parent / "toy"):  # with a floor at the level
        for run in sorted(study.glob("bridge=blind,*")):
            moved = run.rename(run.with_name(f"{run.name},budget.tokens=16"))
            change(moved, overrides=moved.name)
    (shifted / "multirun.yaml").write_text(rows)
    kept = shift_of(read_study(shifted)).kept
    assert kept["qformer, budget.tokens=16"].value == pytest.approx(expected.kept["qformer"].value)
    assert set(kept) == {"qformer, budget.tokens=16", "blind, budget.tokens=16"}


def test_without_a_baseline_only_accuracies_are_told(shifted):
    for run in shifted.glob("bridge=linear,*"):
        shutil.rmtree(run)
    found = shift_of(read_study(shifted))
    assert found.change == {}
    assert shift_sentences(found) == []
    assert shift_table(found).rows[0][1][-1].text == "–"


@pytest.mark.parametrize(
    "told",
    [
        {"split": "test"},
        {"trained_in": "elsewhere"},
        {"trained_on": "clevr"},
        {"split": "val-clutter", "benchmark": "world_val-clutter"},  # the scores of the training are of test
    ],
)
def test_no_shift_is_seen_where_there_is_none(shifted, told):
    for run in shifted.glob("bridge=*"):
        record = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(record | told))
    assert shift_of(read_study(shifted)) is None
    assert shift_of(read_study(shifted.parent / "toy")) is None


@pytest.mark.parametrize("answering", ["tokens: 4", "num_beams: 5"])
def test_what_is_answered_in_another_way_is_no_shift(shifted, answering):
    for study in (shifted, shifted.parent / "toy"):
        for run in study.glob("bridge=*"):
            own = answering if study == shifted else ""
            (run / "config.yaml").write_text(f"evaluate: {{{own}}}\n")
    assert shift_of(read_study(shifted)) is None
