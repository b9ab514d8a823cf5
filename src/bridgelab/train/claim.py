"""Who a run directory belongs to: one config, known by its hash. Free of torch: a launcher asks it first."""

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.train.whole import whole

# Where things lie, who watches, what it runs on and what will be asked of it say nothing about what was learned.
NOT_IDENTITY = (
    "paths",
    "logger",
    "trainer",
    "compile",
    "question",
    "hypothesis",
    "verdict",
    "hydra",
    "data.max_skipped",
)
# All that a run leaves which fails its checks, before it has trained a step.
BEFORE_ANYTHING = frozenset({"config.yaml", "config.hash", "lock", "log.txt", "train.log"})


def config_hash(config: DictConfig) -> str:
    """A hash of all choices, before paths are filled in: it is the same on another machine."""
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    kept: dict[Any, Any] = {key: value for key, value in content.items() if key not in NOT_IDENTITY}
    for group, _, key in (name.partition(".") for name in NOT_IDENTITY):
        if key and isinstance(kept.get(group), dict):
            kept[group] = {name: value for name, value in kept[group].items() if name != key}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def refuse_another(directory: Path, config: DictConfig) -> bool:
    """Whether the directory has been claimed, by this config. Where another one's run left nothing, it is free.

    Raises:
        ValueError: if it holds a run of another config.
    """
    if not (directory / "config.hash").exists():
        return False
    other, own = (directory / "config.hash").read_text().strip(), config_hash(config)
    if other != own:
        if BEFORE_ANYTHING.issuperset(path.name for path in directory.iterdir()):
            return False
        raise ValueError(
            f"{directory} holds a run of another config (hash {other}, this one {own}; they differ in "
            f"{_difference(directory / 'config.yaml', _resolved(config))}). One directory holds one config: give this run "
            "another study=NAME, or move that directory away."
        )
    return True


def claim(directory: Path, config: DictConfig) -> bool:
    """Take a run directory for this config; returns whether a finished run stands there already.

    Who trains there holds its lock first: a claim that has left nothing yet keeps nobody out.

    Raises:
        ValueError: if it holds a run of another config.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not refuse_another(directory, config):
        with whole(directory / "config.yaml") as aside:
            OmegaConf.save(_resolved(config), aside)
        with whole(directory / "config.hash") as aside:  # last: where it stands, the other does
            aside.write_text(config_hash(config) + "\n")
    return (directory / "metrics.json").exists()


def _resolved(config: DictConfig) -> Any:
    """Without what Hydra says of itself, which can only be resolved inside a job."""
    kept = {key: value for key, value in config.items_ex(resolve=False) if key != "hydra"}
    return OmegaConf.create(OmegaConf.to_container(OmegaConf.create(kept), resolve=True))


def _difference(written: Path, config: Any) -> str:
    """The keys in which two resolved configs differ, at most five."""

    def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(node, dict):
            return {k: v for key, value in node.items() for k, v in leaves(value, f"{prefix}{key}.").items()}
        return {prefix[:-1]: node}

    sides = [leaves(OmegaConf.to_container(side)) for side in (OmegaConf.load(written), config)]
    keys = [
        key for key in sorted(sides[0].keys() | sides[1].keys()) if sides[0].get(key) != sides[1].get(key)
    ]
    keys = [key for key in keys if not {key, key.split(".")[0]} & set(NOT_IDENTITY)]
    return ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "") or "how a value is written"
