"""Check what an alignment reads before torch, models and Lightning are imported. Free of torch."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bridgelab.bridge.initial_file import OURS, QFORMER, check_first_stage_file

KIND = "caption"
BENCHMARKS = "bridgelab.benchmark."


def check_input(config: DictConfig) -> None:
    """Refuse a bridge that is no Q-Former, a file that holds no first stage, and a benchmark without captions.

    Raises:
        OSError: if there is no file of `bridge.init_from`.
        ValueError: as said.
    """
    target = str(config.bridge._target_)
    if target.startswith(OURS) and target != QFORMER:
        raise ValueError(not_aligned(target))
    benchmark = str(config.benchmark._target_)
    if benchmark.startswith(BENCHMARKS) and (kinds := declared(benchmark, "kinds")) and KIND not in kinds:
        raise ValueError(without_captions(config.benchmark.get("name") or benchmark.split(".")[-2], kinds))
    if config.bridge.init_from is not None:
        check_first_stage_file(config)


def declared(target: str, attribute: str) -> Any:
    """Return a constant that a class of this package declares, or inherits, without importing it, which takes seconds.

    Args:
        target: the class's full name.
        attribute: the constant's name.
    Returns:
        None if it is no literal in the class's body.
    """
    module, _, name = target.rpartition(".")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    tree = ast.parse(Path(spec.origin).read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        return None
    for node in classes[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return None  # a property, which follows from the data
        if isinstance(node, ast.Assign | ast.AnnAssign):
            named = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value and attribute in (one.id for one in named if isinstance(one, ast.Name)):
                return _literal(node.value)
    homes = {
        alias.name: str(node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } | dict.fromkeys(classes, module)
    bases = [
        f"{homes[base.id]}.{base.id}"
        for base in classes[name].bases
        if isinstance(base, ast.Name) and base.id in homes
    ]
    ours = (declared(base, attribute) for base in bases if base.startswith("bridgelab."))
    return next((value for value in ours if value is not None), None)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def not_aligned(target: str) -> str:
    """Return the message on a bridge without a first stage."""
    return f"bridge._target_={target} has no first stage: only a Q-Former is aligned. Set bridge=qformer."


def without_captions(name: str, kinds: tuple[str, ...]) -> str:
    """Return the message on a benchmark without captions."""
    return (
        f"benchmark {name} has examples of kind {', '.join(kinds)}: alignment learns from captions. Set benchmark to one that has them: "
        "world, clevr, coco_captions or flickr30k."
    )
