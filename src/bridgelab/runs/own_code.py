"""Hash a user-defined bridge's code: the statements of its file that its class depends on. Free of torch.

A config names a class by its module, so that its hash stays when the file is edited.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

OWN_CODE = "own_code"  # the key of what `own_code` returns, in records, checkpoints and trials


def own_code(config: Mapping[Any, Any]) -> str | None:
    """Return the code of a config's `bridge._target_` as records hold it, `FILE@SHA256`.

    None if the class is of bridgelab, or its file is not found. Nothing is imported.
    """
    bridge = config.get("bridge")
    target = bridge.get("_target_") if isinstance(bridge, Mapping) else None
    if not isinstance(target, str) or target.startswith("bridgelab."):
        return None
    file, name = _file_of(target)
    if file is None or not file.is_file():
        return None
    return f"{file.name}@{hashlib.sha256(_code_of(file.read_bytes(), name)).hexdigest()}"


def other_code(recorded: Any, config: Mapping[Any, Any]) -> str | None:
    """Return the code of a config's own bridge if what was recorded ran other code, otherwise None.

    Args:
        recorded: as `own_code` returned it; None if nothing was recorded, as in earlier releases.
        config: of the run that would use it.
    """
    now = own_code(config)
    return now if recorded and now and recorded != now else None


def _file_of(target: str) -> tuple[Path | None, str]:
    """Return the file of the module that a dotted name begins with, and the part of the name after the module's."""
    parts = target.split(".")
    places, file, depth = [*sys.path, os.getcwd()], None, 0
    for depth, _ in enumerate(parts):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            break
        file, places = spec.origin, list(spec.submodule_search_locations or ())
        if not places:
            depth += 1
            break
    return Path(file) if file else None, (parts[depth:] or [""])[0]


def _code_of(content: bytes, name: str) -> bytes:
    """Return the statements of a module that the definition of a name depends on; the whole module if it does not define the name.

    So another class of the same file may change.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return content
    lines = content.splitlines(keepends=True)
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for one in _bound(statement):
            defined.setdefault(one, []).append(statement)
    if name not in defined or "*" in defined:
        return content
    left, reached, found = [name], set(), set()
    while left:
        if (one := left.pop()) in reached:
            continue
        reached.add(one)
        for statement in defined.get(one, []):
            found.add((_first_line(statement), statement.end_lineno))
            left += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return b"".join(line for first, last in sorted(found) for line in lines[first - 1 : last])


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a module binds or changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(
            node.ctx, ast.Load
        ):
            # TABLE["key"] = … changes TABLE.
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names


def _first_line(statement: ast.stmt) -> int:
    return min(node.lineno for node in (statement, *getattr(statement, "decorator_list", [])))
