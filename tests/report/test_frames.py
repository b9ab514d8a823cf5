import json
import math
from pathlib import Path

import pandas as pd
import pytest

import bridgelab
from bridgelab.cli import main as cli
from bridgelab.report.frames import COLUMNS, cells


@pytest.fixture
def study(simulated):
    return bridgelab.read_study(simulated.write(images=12))


def test_answers_have_a_row_for_each_run_example_and_view(study):
    answers = study.answers
    assert len(answers) == sum(len(run.predictions) for run in study.runs)
    assert list(answers.columns[:4]) == ["bridge", "seed", "data_seed", "run"]
    assert not answers.duplicated(["run", "id", "view"]).any()
    seen = answers[(answers["view"] == "image") & (answers["kind"] == "answer")]
    means = seen.groupby(["bridge", "seed"])["score"].mean()
    for run in study.runs:
        assert means[run.bridge, run.seed] == pytest.approx(run.scores["image"][study.questions.index].mean())


def test_cells_hold_what_the_report_prints(study):
    frame = cells(study)
    accuracies = frame[frame["measure"] == "accuracy"].set_index(["bridge", "kind"])
    for row in bridgelab.summarize(study).rows:
        for kind, estimate in row.accuracy.items():
            cell = accuracies.loc[(row.name, kind)]
            numbers = [cell["value"], cell["low"], cell["high"]]
            assert numbers == pytest.approx([estimate.value, *estimate.interval], nan_ok=True)
            assert cell["role"] == row.role
    differences = frame[frame["measure"] == "difference"].set_index(["bridge", "kind"])
    verdict = bridgelab.verdict(study)
    assert len(differences) == len(verdict.cells) + len(verdict.headline)
    for key, finding in verdict.cells.items():
        cell = differences.loc[key]
        assert cell["value"] == pytest.approx(float(finding.contrast.value))
        assert (cell["outcome"], cell["at_budget"]) == (finding.outcome, finding.at_budget)
        assert cell["low"] < cell["value"] < cell["high"]
        assert cell["baseline"] == "linear"


def test_accuracies_through_words_are_cells(study):
    for run in study.path.glob("bridge=mlp,*"):
        rows = pd.read_parquet(run / "predictions.parquet")
        asked = rows.query("kind == 'answer' and view == 'image'").assign(view="captioned", score=0.25)
        pd.concat([rows, asked]).to_parquet(run / "predictions.parquet")
    frame = cells(bridgelab.read_study(study.path))
    found = frame[frame["measure"] == "accuracy_through_words"]
    assert (set(found["bridge"]), set(found["value"])) == ({"mlp"}, {0.25})
    asked = frame.query("measure == 'accuracy' and bridge == 'mlp'")
    assert found[["kind", "questions"]].values.tolist() == asked[["kind", "questions"]].values.tolist()


def test_docs_name_every_column(study):
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    columns = {*cells(study), *study.answers, *COLUMNS}
    unnamed = [name for name in columns if not name.startswith("tag_") and f"`{name}`" not in text]
    assert not unnamed
    assert (study.answers["log_likelihood"] < 0).all()
    assert {kind for kind in cells(study)["kind"] if " " in kind} == set()


def test_levels_of_a_factor_are_columns(simulated):
    study = simulated.write(bridges={"linear": {"exist": 0.7}, "qformer": {"exist": 0.6}}, images=6)
    for run in sorted(study.iterdir()):
        name = f"{run.name},train.steps={100 if 'seed=0' in run.name else 200}"
        record = json.loads((run / "metrics.json").read_text()) | {"overrides": name}
        (run / "metrics.json").write_text(json.dumps(record))
        run.rename(study / name)
    answers = bridgelab.read_study(study).answers
    assert set(answers["train.steps"]) == {"100", "200"}


def test_the_report_writes_both_frames_and_prints_json(study, capsys):
    paths = bridgelab.write_report(study.path, data=True)
    assert [path.name for path in paths.values()][3:] == [
        "cells.csv",
        "cells.parquet",
        "answers.csv",
        "answers.parquet",
    ]
    for name, frame in (("answers", study.answers), ("cells", cells(study))):
        stored = pd.read_parquet(study.path / f"{name}.parquet")
        assert list(stored.columns) == list(frame.columns)
        assert stored.astype(object).where(stored.notna(), None).values.tolist() == (
            frame.astype(object).where(frame.notna(), None).values.tolist()
        )
    stored = pd.read_csv(study.path / "cells.csv")
    assert stored["value"].tolist() == pytest.approx(cells(study)["value"].tolist())
    assert len(pd.read_csv(study.path / "answers.csv")) == len(study.answers)
    capsys.readouterr()
    assert cli.main(["report", str(study.path), "--json"]) == 0
    content = json.loads(
        capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    assert (content["study"], content["baseline"], content["delta"]) == ("first_look", "linear", 0.02)
    assert len(content["cells"]) == len(cells(study))
    first = content["cells"][0]
    assert (first["measure"], first["outcome"]) == ("accuracy", None)
    assert math.isclose(first["value"], cells(study)["value"][0])
    assert cli.main(["report", str(study.path), "--json", "--format", "csv"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert cli.main(["plan", str(study.path), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {cell["comparator"] for cell in planned["cells"]} >= {"qformer", "perceiver"}
