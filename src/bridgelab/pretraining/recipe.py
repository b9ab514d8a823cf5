"""What of a config a checkpoint was trained by, as text, so that no other config goes on from it."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def recipe_text(cfg: Mapping[str, Any], free: Collection[str]) -> str:
    """Return a config as text, without the keys in `free`, which may change before a run is resumed."""
    return json.dumps({key: value for key, value in cfg.items() if key not in free}, sort_keys=True)


def refuse_another_recipe(path: Path, saved: str, own: str) -> None:
    """Refuse a checkpoint of another recipe.

    Args:
        path: of the checkpoint.
        saved: its recipe, as `recipe_text` returns it.
        own: the recipe of the config.
    Raises:
        ValueError: if they differ.
    """
    if saved == own:
        return
    before, now = _leaves(json.loads(saved)), _leaves(json.loads(own))
    differing = ", ".join(
        f"{key}={before.get(key)}, not {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    )
    raise ValueError(
        f"{path} was trained by another recipe than this config's: {differing}. "
        "Remove it to start from the beginning, or name another folder by out=…"
    )


def _leaves(node: Any, prefix: str = "") -> dict[str, str]:
    """Return the values of a config by dotted keys, elements of lists by their numbers, as JSON."""
    if not node or not isinstance(node, dict | list):
        return {prefix[:-1]: json.dumps(node)}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return {name: leaf for key, value in items for name, leaf in _leaves(value, f"{prefix}{key}.").items()}
