"""Config keys that were renamed or added. Configs of older runs are read as today's. Free of torch.

To rename a key, add it to `RENAMED`. Nothing else knows older names. To add a key, put it into `ADDED` with the value that older
runs had in effect; at this value it stays out of a config's hash, so that older runs stay the same runs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

RENAMED = {  # group.old: group.new
    "benchmark.bend": "benchmark.shift",
    "data.longest": "data.max_length",
    "evaluate.beams": "evaluate.num_beams",
}
# group.key: value in older runs, which is never changed
ADDED: dict[str, Any] = {"text.adapt": "none", "tune.finalists": None, "evaluate.tokens": None}


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
    """Return a config of plain mappings under today's names, with the keys that were added since."""
    content = _renamed(config, RENAMED.items())
    for added, value in ADDED.items():
        group, _, key = added.partition(".")
        if isinstance(content.get(group), Mapping):
            content[group] = {**content[group], key: content[group].get(key, value)}
    return content


def with_older_keys(config: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a config of plain mappings under the first names of its keys, without added keys at the value of older runs.

    Hashes are taken of this, so that a new name or key leaves every run the same run.
    """
    content = _renamed(config, ((new, old) for old, new in RENAMED.items()))
    for added, value in ADDED.items():
        group, _, key = added.partition(".")
        if isinstance(content.get(group), Mapping) and content[group].get(key) == value:
            content[group] = {name: one for name, one in content[group].items() if name != key}
    return content


def _renamed(config: Mapping[Any, Any], names: Iterable[tuple[str, str]]) -> dict[Any, Any]:
    content = dict(config)
    for before, after in names:
        (group, _, key), name = before.partition("."), after.partition(".")[2]
        if isinstance(content.get(group), Mapping) and key in content[group]:
            content[group] = {name if one == key else one: value for one, value in content[group].items()}
    return content
