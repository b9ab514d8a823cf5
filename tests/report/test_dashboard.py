"""The W&B workspace of a study, without a server: what it would send."""

import json
import re
from pathlib import Path

import pytest

from bridgelab.report.dashboard import dashboard, workspace
from bridgelab.report.formats.markdown import matrix_to_markdown
from bridgelab.report.matrix import matrix
from bridgelab.runs.study import read_study
from bridgelab.statistics.verdict import verdict
from bridgelab.training.loggers.wandb_logger import difficulty


def panels(shown):
    sections = json.loads(shown)["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def test_the_workspace_of_a_study_opens_with_its_verdict(simulated):
    study = simulated.write(images=10)
    shown = dashboard(study, entity="me", project="bridgelab", save=False)
    assert set(re.findall('"groupBy": "(.*)"', shown)) == {"row.value"}  # as the verdict's rows
    found = panels(shown)
    assert next(iter(found)) == "Verdict"
    (panel,) = found["Verdict"]
    text = panel["config"]["value"]
    table = matrix_to_markdown(matrix(verdict(read_study(study))))
    assert text.endswith(table)
    head, _, *rows = table.splitlines()
    assert head == "| linear − | exist | count | query | compare attribute | compare integer |"
    assert [row.split(" ")[1] for row in rows] == ["mlp", "perceiver", "qformer"]
    assert "Compared: linear (64 tokens, 16.5 k parameters)" in text


def test_a_bridges_name_is_no_markup_in_a_workspace(simulated, change):
    """W&B shows a picture by loading it, from wherever the record of another's run says."""
    study = simulated.write(bridges={name: {"exist": 0.7} for name in ("linear", "mlp")}, images=6)
    for run in study.glob("bridge=mlp,*"):
        change(run, bridge="![a](http://b.c/d) <img src=e>")
    text = panels(dashboard(study, entity="me", project="bridgelab", save=False))["Verdict"][0]["config"][
        "value"
    ]
    assert text.count("!\\[a\\](http://b.c/d) &lt;img src=e&gt;") >= 2  # what was compared, and the matrix
    assert "![" not in text
    assert "<img" not in text


def test_a_study_is_found_by_its_name_from_inside_its_folder_too(simulated, monkeypatch):
    """W&B's filter on an empty name would show all runs of the project."""
    monkeypatch.chdir(simulated.write(images=6))
    text = dashboard(Path(), entity="me", project="bridgelab", save=False)
    assert '"value": "first_look"' in text


def test_what_is_charted_against_difficulty_is_what_is_logged():
    """A user's tag may hold '-'."""
    metrics = {f"test/accuracy/{tag}={level}": 0.5 for tag in ("room-size", "hops") for level in (2, 3)}
    charts = workspace(tuple(metrics), entity="me", project="bridgelab")._to_model()
    text = charts.model_dump_json(by_alias=True, exclude_none=True)
    for tag in ("room-size", "hops"):
        assert f'"difficulty/{tag}"' in text
    assert difficulty(metrics) == {tag: [(2, 0.5), (3, 0.5)] for tag in ("room-size", "hops")}


@pytest.mark.parametrize(
    ("bridges", "why"),
    [
        (["linear"], "the workspace has no verdict: no two bridges can be compared"),
        (["mlp", "qformer"], "No verdict: the baseline linear has no finished run. Add it: bridgelab study "),
    ],
)
def test_what_a_workspace_lacks_is_told(simulated, capsys, bridges, why):
    study = simulated.write("s\x1b[2J", bridges={name: {"exist": 0.7} for name in bridges}, images=6)
    for run in study.glob("bridge=*,seed=0"):
        (run / "wandb_id").write_text("0123456789abcdef")
    assert "Verdict" not in panels(dashboard(study, entity="me", project="bridgelab", save=False))
    told = capsys.readouterr().err
    assert why in told
    assert "\x1b" not in told
    number = len(bridges)
    assert f"{2 * number} of {3 * number} finished runs are not in W&B: reused" in told
