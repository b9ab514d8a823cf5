"""What people read in a terminal or on a page has no Markdown marks, which nothing renders there."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
# These write Markdown, or take text apart whose marks are meant.
MARKDOWN = {
    "evaluation/bridge_table.py", "config/benchmark_page.py", "pretraining/page.py", "report/formats/markdown.py",
    "benchmark/metrics/ptb_tokenizer.py", "benchmark/metrics/vqa_accuracy.py",
    "cli/key_comments.py", "training/trainer.py",  # which removes them; a pattern of Lightning's warning
}  # fmt: skip
MODULES = [
    p
    for p in sorted((SRC / "bridgelab").rglob("*.py"))
    if str(p.relative_to(SRC / "bridgelab")) not in MARKDOWN
]


def marked(source):
    """The strings of a module with backticks, without its docstrings."""
    tree = ast.parse(source)
    documented = [
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    ]
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in documented]
    return [
        node.value
        for node in texts
        if isinstance(node.value, str) and ("`" in node.value or "**" in node.value)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_text_has_marks(path):
    assert marked(path.read_text()) == [], (
        "write commands without backticks: after a colon, or in single quotes"
    )


def test_marks_are_seen():
    assert marked('"""A `doc`."""\nx = "run `y`"\n') == ["run `y`"]
    assert marked('def f(z):\n    """A `doc`."""\n    return f"run `{z}`"\n') == ["run `", "`"]
