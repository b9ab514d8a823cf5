"""Who a run directory belongs to: one config, known by its hash. Free of torch: a launcher asks it first."""

import functools
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.finished import is_finished
from bridgelab.runs.older_names import with_older_keys
from bridgelab.runs.record_schema import read_config

log = logging.getLogger(__name__)
TOLD = 5  # differing keys in a message

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
    "benchmark.published",
)
# How it was done, not what: two configs that differ in these alone are of one run. They stand in the hash, which thus tells data in
# two places apart where nothing else can: a run of another study is taken over (`reuse`) where all is said to be the same.
INDIFFERENT = (
    "benchmark.root",  # of moved data; other data are known by their fingerprint
    "benchmark.processes",
    "data.features",
    "train.save_every",
    "train.log_every",
    "evaluate.batch_size",
)
WEIGHTS = ("text.path", "vision.weights", "vision.pretrained")
LOCAL = "local-dir:"  # open_clip's own word
# All that a run leaves which fails its checks, before it has trained a step.
BEFORE_ANYTHING = frozenset({"config.yaml", "config.hash", "lock", "log.txt", "train.log"})


def config_hash(config: DictConfig, *, training: bool = False) -> str:
    """A hash of all choices, before paths are filled in: it is the same on another machine.

    Args:
        training: of those alone that what is learned depends on: not of `evaluate`, nor of what is `INDIFFERENT`.
    """
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    left_out = (*NOT_IDENTITY, *INDIFFERENT, "evaluate") if training else NOT_IDENTITY
    kept = {key: value for key, value in with_older_keys(content).items() if key not in left_out}
    for group, _, key in (name.partition(".") for name in left_out):
        if key and isinstance(kept.get(group), dict):
            kept[group] = {name: value for name, value in kept[group].items() if name != key}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def refuse_another(directory: Path, config: DictConfig) -> bool:
    """Whether the directory has been claimed, by this config. Where another one's run left nothing, it is free.

    What is `INDIFFERENT` may change at any time, and `evaluate` until the record stands: what was trained is not lost to a
    correction of how it is to be evaluated.

    Raises:
        ValueError: if it holds a run of another config.
    """
    if not (directory / "config.hash").exists():
        return False
    other, own = (directory / "config.hash").read_text().strip(), config_hash(config)
    if other != own:
        if BEFORE_ANYTHING.issuperset(path.name for path in directory.iterdir()):
            return False
        may_change = INDIFFERENT if is_finished(directory) else (*INDIFFERENT, "evaluate")
        changed = _difference(read_config(directory), _resolved(config))
        if keys := [key for key in changed if not {key, key.split(".")[0]} & set(may_change)]:
            raise ValueError(
                f"{directory} holds a run of another config (hash {other}, this one {own}; they differ in "
                f"{', '.join(keys[:TOLD])}{', …' if len(keys) > TOLD else ''}). One directory holds one config: give this run "
                "another study=NAME, or move that directory away"
                + (
                    f"; `bridgelab evaluate {directory}` evaluates anew without training."
                    if all(key.startswith("evaluate.") for key in keys)
                    else "."
                )
            )
        if "benchmark.root" in changed:
            _tell(
                f"{directory}: benchmark.root is another than when it began: taken for the same data, moved"
            )
    return True


@functools.cache
def _tell(line: str) -> None:
    """Log a line once, however often a directory is asked for."""
    log.info(line)


def claim(directory: Path, config: DictConfig) -> bool:
    """Take a run directory for this config; returns whether a finished run stands there already.

    Who trains there holds its lock first: a claim that has left nothing yet keeps nobody out.

    Raises:
        ValueError: if it holds a run of another config.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begun = refuse_another(directory, config)
    finished = is_finished(directory)
    if not begun or (not finished and (directory / "config.hash").read_text().strip() != config_hash(config)):
        with atomic_path(directory / "config.yaml") as aside:
            OmegaConf.save(_resolved(config), aside)
        with atomic_path(directory / "config.hash") as aside:  # last: where it stands, the other does
            aside.write_text(config_hash(config) + "\n")
    return finished


def _resolved(config: DictConfig) -> Any:
    """Without what Hydra says of itself, which can only be resolved inside a job; weights that lie here by their whole path."""
    kept = {key: value for key, value in config.items_ex(resolve=False) if key != "hydra"}
    return _placed(OmegaConf.create(OmegaConf.to_container(OmegaConf.create(kept), resolve=True)))


def _placed(config: Any) -> Any:
    for key in WEIGHTS:
        if isinstance(value := OmegaConf.select(config, key), str):
            OmegaConf.update(config, key, _whole_path(key, value))
    return config


def _whole_path(key: str, value: str) -> str:
    """A place as it is found from any folder; else a hub would be asked for it from another one. A name as it is."""
    scheme = LOCAL if value.startswith(LOCAL) else ""
    place = value.removeprefix(scheme)
    names_a_model = key == "vision.weights" and not (scheme or value.endswith(".safetensors"))
    if value == "miniature" or names_a_model or not os.path.exists(place):
        return value
    return scheme + os.path.abspath(place)


def _difference(written: Any, config: Any) -> list[str]:
    """The keys in which two resolved configs differ."""

    def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(node, dict):
            return {k: v for key, value in node.items() for k, v in leaves(value, f"{prefix}{key}.").items()}
        return {prefix[:-1]: node}

    sides = [leaves(OmegaConf.to_container(side)) for side in (_placed(written), config)]
    keys = [
        key for key in sorted(sides[0].keys() | sides[1].keys()) if sides[0].get(key) != sides[1].get(key)
    ]
    return [key for key in keys if not any(f"{key}.".startswith(f"{name}.") for name in NOT_IDENTITY)]
