"""The W&B workspace of a study, without a server: what it would send."""

import json

from bridgelab.report.dashboard import dashboard
from bridgelab.report.formats.markdown import matrix_to_markdown
from bridgelab.report.matrix import matrix
from bridgelab.runs.study import read_study
from bridgelab.statistics.comparison import verdict


def panels(shown):
    sections = json.loads(shown)["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def test_the_workspace_of_a_study_opens_with_its_verdict(simulated):
    study = simulated.write(images=10)
    found = panels(dashboard(study, entity="me", project="bridgelab", save=False))
    assert next(iter(found)) == "Verdict"
    (panel,) = found["Verdict"]
    text = panel["config"]["value"]
    table = matrix_to_markdown(matrix(verdict(read_study(study))))
    assert text.endswith(table)
    head, _, *rows = table.splitlines()
    assert head == "| linear − | exist | count | query | compare attribute | compare integer |"
    assert [row.split(" ")[1] for row in rows] == ["mlp", "perceiver", "qformer"]
    assert "Compared: linear (64 tokens, 16.5 k parameters)" in text


def test_without_two_bridges_there_is_no_verdict(simulated):
    study = simulated.write(bridges={"linear": {"exist": 0.7}}, images=6)
    assert "Verdict" not in panels(dashboard(study, entity="me", project="bridgelab", save=False))
