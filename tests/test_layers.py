import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

# Imports point to the left. Those in one entry never import each other.
LAYERS = [
    {"atomic", "console", "ctrl_c", "progress", "printable", "device", "out_of_memory"},
    {"world"},
    {"benchmark"},
    {"runs", "lfs_pointer"},
    {"config"},
    {"launch"},
    {"vision", "text", "bridge", "optim"},
    {"model"},
    {"backbones"},
    {"data"},
    {"statistics"},
    {"report", "export"},
    {"evaluation"},
    {"explain"},
    {"training"},
    {"alignment", "doctor", "pretraining"},
    {"speed"},
    {"cli"},
]
NAMES = set().union(*LAYERS)
MODULES = sorted(path for path in (SRC / "bridgelab").rglob("*.py") if path.parent.name != "__pycache__")


def own_layer(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def imported(source: str, folder: tuple[str, ...]) -> set[str]:
    """The parts of bridgelab that a module in `folder` imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("bridgelab.")}
    return found & NAMES


def allowed(own: str) -> set[str]:
    (place,) = [index for index, layer in enumerate(LAYERS) if own in layer]
    return set().union(*LAYERS[:place]) | {own}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_one_way(path):
    own = own_layer(path, SRC / "bridgelab")
    if own == "__init__":
        assert not imported(path.read_text(), ("bridgelab",)), "`import bridgelab` must stay free"
        return
    above = imported(path.read_text(), path.relative_to(SRC).parts[:-1]) - allowed(own)
    order = " <- ".join("|".join(sorted(layer)) for layer in LAYERS)
    assert not above, f"{own} may not import {sorted(above)}: imports point {order}"


def test_every_part_has_a_place():
    parts = {own_layer(path, SRC / "bridgelab") for path in MODULES} - {"__init__"}
    assert parts <= NAMES, f"{sorted(parts - NAMES)} have no place in LAYERS. Say what they may import."


@pytest.mark.parametrize(
    ("own", "source", "above"),
    [
        ("bridge", "from bridgelab.text.t5 import T5", {"text"}),
        ("runs", "def f():\n    import bridgelab.model", {"model"}),
        ("report", "from bridgelab import training", {"training"}),
        ("vision", "from ..bridge.linear import Linear", {"bridge"}),
        ("vision", "from .. import model", {"model"}),
        ("bridge", "from .words import Words", set()),
        ("statistics", "from bridgelab.report import table", {"report"}),
        (
            "training",
            "from bridgelab.model import Model\nfrom bridgelab.runs import record\nimport torch",
            set(),
        ),
    ],
)
def test_a_wrong_import_is_seen(own, source, above):
    assert imported(source, ("bridgelab", own)) - allowed(own) == above
