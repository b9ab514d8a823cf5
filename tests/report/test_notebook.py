"""Notebooks on recorded studies are kept with the outputs that their cells still print; no notebook defines functions."""

import ast
import os
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from PIL import Image
from simulated_study import TRUTH

from bridgelab.report.examples import select_examples
from bridgelab.runs.study import read_study

CHECKOUT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_define_nothing_and_are_kept_with_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in code(notebook):
        assert cell.outputs
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, definitions)]


def run(name):
    """What each cell of a notebook shows."""
    path = NOTEBOOKS[0].with_name(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
    return shown_by(notebook)


def shown_by(notebook):
    return [output.get("data", {}) for cell in code(notebook) for output in cell.outputs]


def run_here(name, study, monkeypatch):
    """What each cell before the break map of recorded studies shows, run in this process."""
    monkeypatch.setenv("BRIDGELAB_RUNS", str(study))
    monkeypatch.chdir(CHECKOUT / "notebooks")
    names, shown = {}, []
    for cell in code(nbformat.read(NOTEBOOKS[0].with_name(name), as_version=4)):
        if "shifts_and_aa" in cell.source:
            break
        *statements, last = ast.parse(cell.source).body
        exec(compile(ast.Module(statements, []), name, "exec"), names)  # noqa: S102 (this checkout's own)
        shown.append(eval(compile(ast.Expression(last.value), name, "eval"), names))  # noqa: S307
    return [getattr(one, "data", one) for one in shown]


# jupyter_client's own sockets and loops: nothing of ours is in that process.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS])
def test_the_outputs_of_a_notebook_are_those_that_its_cells_print(name, monkeypatch):
    monkeypatch.delenv("BRIDGELAB_RUNS", raising=False)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    kept = shown_by(nbformat.read(NOTEBOOKS[0].with_name(name), as_version=4))
    printed = run(name)
    assert len(printed) == len(kept) > 8
    for now, then in zip(printed, kept, strict=True):
        assert set(now) == set(then)
        for kind in ("text/markdown", "text/html"):
            assert now.get(kind) == then.get(kind)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bridge_is_looked_into_in_the_notebook(simulated, diagnosed, monkeypatch, tmp_path):
    study = simulated.write(images=10)
    (tmp_path / "world" / "images").mkdir(parents=True)
    for folder in study.glob("bridge=*"):
        table = pd.read_parquet(folder / "predictions.parquet")
        table["image"], table["prompt"] = "images/" + table["image"], "is it " + table["id"]
        table.to_parquet(folder / "predictions.parquet")
        root = os.path.relpath(tmp_path / "world", CHECKOUT)  # as a config has it
        (folder / "config.yaml").write_text(f"benchmark: {{root: {root}}}")
    for k in range(10):
        Image.new("RGB", (32, 32), (25 * k, 90, 40)).save(tmp_path / "world" / "images" / f"{k}.png")
    diagnosed(study, [one.id for one in select_examples(read_study(study), most=2)])
    monkeypatch.setenv("BRIDGELAB_RUNS", os.path.relpath(study, CHECKOUT))
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


@pytest.mark.parametrize(
    ("bridges", "said"),
    [(["linear"], "two bridges"), (["mlp", "qformer"], "the baseline linear has no finished run")],
)
def test_a_study_without_a_verdict_is_read_in_the_notebooks(simulated, change, monkeypatch, bridges, said):
    study = simulated.write(bridges={name: {"exist": 0.7} for name in bridges}, images=10)
    for run in study.iterdir():
        change(run, curve=[], budgets=[])  # as of an evaluation without training
    first = run_here("01_read_a_study.ipynb", study, monkeypatch)
    assert (said in first[1]) == (len(bridges) > 1)
    assert first[4] == "nothing to draw"
    assert set(first[7]["kind"]) == {"all"}
    second = run_here("02_where_does_linear_break.ipynb", study, monkeypatch)
    assert all(said in second[k] for k in (0, 1, 2, 3, 5, 6, 7))


def test_a_study_with_a_factor_is_read_in_the_notebooks(simulated, change, monkeypatch):
    study = simulated.write(bridges={name: TRUTH[name] for name in ("linear", "mlp")}, images=20)
    for run in sorted(study.iterdir()):
        for tokens in (4, 16):
            copy = Path(shutil.copytree(run, f"{run},budget.tokens={tokens}"))
            change(copy, overrides=copy.name)
            (copy / "config.yaml").write_text(f"budget: {{tokens: {tokens}}}")
        shutil.rmtree(run)
    head, _, *rows = run_here("02_where_does_linear_break.ipynb", study, monkeypatch)[-1].splitlines()
    names = (f"{bridge}, budget.tokens={tokens}" for bridge in ("linear", "mlp") for tokens in (4, 16))
    assert head == "| question | answer | {}, {} | {}, {} |".format(*names)
    assert rows
