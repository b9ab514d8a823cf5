"""Config keys that were renamed. Configs of older runs are read under today's names. Free of torch.

To rename a key, add it to `RENAMED`. Nothing else knows older names.
"""

from collections.abc import Iterable, Mapping
from typing import Any

RENAMED = {"data.longest": "data.max_length", "evaluate.beams": "evaluate.num_beams"}  # group.old: group.new


def current_key(key: str) -> str:
    """Return today's name of a config key, such as `data.max_length.prompt` for `data.longest.prompt`."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key[len(old) :]
    return key


def current_override(override: str) -> str:
    """Return an override `key=value` under today's name of its key; Hydra's `+`, `++` and `~` may precede it."""
    key, equals, value = override.partition("=")
    bare = key.lstrip("+~")
    return key[: len(key) - len(bare)] + current_key(bare) + equals + value


def with_current_keys(config: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a config of plain mappings under today's names."""
    return _renamed(config, RENAMED.items())


def with_older_keys(config: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a config of plain mappings under the first names of its keys.

    Hashes are taken of this, so that a rename leaves every run the same run.
    """
    return _renamed(config, ((new, old) for old, new in RENAMED.items()))


def _renamed(config: Mapping[Any, Any], names: Iterable[tuple[str, str]]) -> dict[Any, Any]:
    content = dict(config)
    for before, after in names:
        (group, _, key), name = before.partition("."), after.partition(".")[2]
        if isinstance(content.get(group), Mapping) and key in content[group]:
            content[group] = {name if one == key else one: value for one, value in content[group].items()}
    return content
