"""The notebook that reads a study runs headless, is kept without outputs, and defines no functions."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

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


# jupyter_client's own sockets and loops: nothing of ours is in that process.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_study_is_read_in_the_notebook(simulated, monkeypatch):
    study = simulated.write(images=10, flat=False)
    monkeypatch.setenv("BRIDGELAB_RUNS", str(study))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    path = NOTEBOOKS[0].with_name("01_read_a_study.ipynb")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = [output.get("data", {}) for cell in code(notebook) for output in cell.outputs]
    assert "19 finished runs, 0 missing" in shown[0]["text/markdown"]
    assert "preview, not converged" in shown[1]["text/html"]
    assert "image/png" in shown[2]
    assert "| mlp |" in shown[3]["text/markdown"]
