"""The notebook that reads a study runs headless, is kept without outputs, and defines no functions."""

import ast
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from PIL import Image

from bridgelab.report.examples import select_examples
from bridgelab.runs.study import read_study

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs_and_define_nothing(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in code(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, definitions)]


def run(name):
    """What each cell of a notebook shows."""
    path = NOTEBOOKS[0].with_name(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    return [output.get("data", {}) for cell in code(notebook) for output in cell.outputs]


# jupyter_client's own sockets and loops: nothing of ours is in that process.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_study_is_read_in_the_notebook(simulated, monkeypatch):
    study = simulated.write(images=10, converged=False)
    monkeypatch.setenv("BRIDGELAB_RUNS", str(study))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    shown = run("01_read_a_study.ipynb")
    assert "19 finished runs, 0 missing" in shown[0]["text/markdown"]
    assert "at most +5.0; not converged" in shown[1]["text/html"]
    assert "image/png" in shown[2]
    assert "| mlp |" in shown[3]["text/markdown"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("converged", [True, False])
def test_the_verdict_is_read_in_the_notebook(simulated, monkeypatch, converged):
    study = simulated.write(images=60, converged=converged)
    for file in study.glob("*/predictions.parquet"):
        table = pd.read_parquet(file)
        table.assign(prompt="is it " + table["id"], tag_objects=table["image"].str.len()).to_parquet(file)
    monkeypatch.setenv("BRIDGELAB_RUNS", str(study))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    shown = run("02_where_does_linear_break.ipynb")
    assert "linear against mlp, perceiver, qformer; δ = 2 points" in shown[0]["text/markdown"]
    assert "linear − qformer" in shown[1]["text/html"]
    assert ("at this budget" in shown[2]["text/markdown"]) is not converged
    assert "image/png" in shown[3]
    assert "Accuracy by objects" in shown[4]["text/html"]
    assert "a step of objects" in shown[5]["text/html"]
    assert ("at this budget" in shown[6]["text/markdown"]) is not converged
    assert "| is it " in shown[7]["text/markdown"]
    assert "image/png" in shown[8]
    assert "Break map: linear − qformer" in shown[9]["text/html"]
    assert "first_look_full_on_world_test-many" in shown[9]["text/html"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bridge_is_looked_into_in_the_notebook(simulated, diagnosed, monkeypatch, tmp_path):
    study = simulated.write(images=10)
    (tmp_path / "world" / "images").mkdir(parents=True)
    for folder in study.glob("bridge=*"):
        table = pd.read_parquet(folder / "predictions.parquet")
        table["image"], table["prompt"] = "images/" + table["image"], "is it " + table["id"]
        table.to_parquet(folder / "predictions.parquet")
        (folder / "config.yaml").write_text(f"benchmark: {{root: {tmp_path}/world}}")
    for k in range(10):
        Image.new("RGB", (32, 32), (25 * k, 90, 40)).save(tmp_path / "world" / "images" / f"{k}.png")
    diagnosed(study, [one.id for one in select_examples(read_study(study), most=2)])
    monkeypatch.setenv("BRIDGELAB_RUNS", str(study))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    shown = run("03_look_inside_a_bridge.ipynb")
    assert "linear 3, mlp 3, perceiver 3, qformer 3" in shown[0]["text/markdown"]
    assert "image/png" in shown[1]
    assert "Selection (causal)" in shown[2]["text/html"]
    assert "a description, no cause" in shown[3]["text/html"]
    assert "Noise" in shown[4]["text/html"]
    assert "Bottleneck" in shown[5]["text/html"]
    assert "nearest words" in shown[6]["text/html"]
    assert "its attention (description)" in shown[7]["text/html"]
