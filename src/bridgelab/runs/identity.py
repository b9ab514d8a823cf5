"""Which config a run's directory belongs to, by the config's hash. Free of torch."""

import functools
import hashlib
import json
import logging
import os
import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.atomic import atomic_path
from bridgelab.runs.finished import is_finished
from bridgelab.runs.initial_weights import other_weights
from bridgelab.runs.insert import insert_of
from bridgelab.runs.older_names import with_older_keys
from bridgelab.runs.own_code import OWN_CODE, other_code
from bridgelab.runs.quoted import quoted
from bridgelab.runs.record_schema import read_config, read_record
from bridgelab.runs.repeat_command import OVERRIDES
from bridgelab.runs.steps_done import FILE as STEPS_DONE
from bridgelab.runs.warm_start_files import digest_of_starts, is_in_place, starts_warm

log = logging.getLogger(__name__)
MAX_KEYS = 5  # differing keys in one message

# Keys of the trainer without effect on what is learned, but for rounding.
HARDWARE = (
    "trainer._partial_",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.accumulate_grad_batches",
    "trainer.benchmark",
    "trainer.deterministic",
    "trainer.detect_anomaly",
    "trainer.profiler",
)
# The trainer's other keys are in the hash where they differ from these, so that runs from before they were are the same runs.
SHIPPED_TRAINER = {"_target_": "pytorch_lightning.Trainer", "gradient_clip_val": 1.0}
# Keys without effect on what is learned: paths, loggers, hardware and the study's declarations. They are not in the hash.
NOT_IDENTITY = (
    "paths",
    "logger",
    *HARDWARE,
    "compile",
    "question",
    "hypothesis",
    "verdict",
    "hydra",
    "data.max_skipped",
    "benchmark.published",
)
# Keys that may change between attempts at a run. They stay in the full hash, as hashes of recorded runs are of them. `reuse` looks for a
# run of another study by the hash with that run's own values.
INDIFFERENT = (
    "benchmark.root",  # data may move; the fingerprint detects other data, and `refuse_other_data` does once a run is finished
    "benchmark.processes",
    "data.features",
    "train.save_every",
    "train.log_every",
    "evaluate.batch_size",
)
# Keys that one choice alone reads -> that choice. Without it they are not in the hash: its runs are those from before the key.
ONLY_WITH = {
    "model.cross_attention": ("model.insert", "cross_attention"),
    "text.prompt_tokens": ("text.adapt", "prompt"),
    "text.lora": ("text.adapt", "lora"),
}
# Gradients are the same with and without it, so it counts as false. It is in the hash where a config has it, as in older runs.
CHECKPOINTING = "text.checkpointing"
# The T5's layers compute the same wherever they lie. The hash has the value of the model's yaml, whatever is chosen, as in older runs.
DEVICE_MAP = "text.device_map"
DEVICE_MAPS = {"google/flan-t5-xxl": "auto"}  # of conf/text, by text.path
# The built-in world: its config fixes its content, and a folder that holds another world is refused.
WORLD = "bridgelab.benchmark.world.World"
WEIGHTS = ("text.path", "vision.weights", "vision.pretrained")
WARM_STARTS = "the files that bridge.init_from=warm starts from"
LOCAL = "local-dir:"  # open_clip's prefix
REQUEUED = "requeued.json"  # what a run had done when Slurm last requeued it at its time limit
WANDB_ID = "wandb_id"  # the id of a run in W&B
# The files of a run that fails its checks or is ended in its search. One that trains has the folder `budgets` too.
BEFORE_TRAINING = frozenset(
    {
        *("config.yaml", "config.hash", "lock", "log.txt", "train.log", "align.log"),
        *(OVERRIDES, WANDB_ID, "wandb", REQUEUED, STEPS_DONE, f"{STEPS_DONE}.new"),
    }
)


def config_hash(config: DictConfig, *, training: bool = False) -> str:
    """Return a hash of a config before paths are resolved, so that it is the same on another machine.

    Args:
        training: leave out keys without effect on training, `evaluate` and `INDIFFERENT`.
    """
    content = _content(config)
    if isinstance(text := content.get("text"), dict):
        content["text"] = {key: value for key, value in text.items() if key != "device_map"}
        if "checkpointing" in text:
            content["text"]["checkpointing"] = False
        if placed := DEVICE_MAPS.get(str(text.get("path"))):
            content["text"]["device_map"] = placed
    return _hash(content, _left_out(config, training))


def earlier_hash(config: DictConfig) -> str:
    """Return the hash of training that a config's checkpoints held before `CHECKPOINTING` and `DEVICE_MAP` counted alike."""
    return _hash(_content(config), _left_out(config, training=True))


def _content(config: DictConfig) -> dict[Any, Any]:
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    return content


def _left_out(config: DictConfig, training: bool) -> tuple[str, ...]:
    """Return the keys that are not in a config's hash."""
    return (*NOT_IDENTITY, *_unread(config), *((*INDIFFERENT, "evaluate") if training else ()))


def _hash(content: dict[Any, Any], left_out: tuple[str, ...]) -> str:
    kept = {key: value for key, value in with_older_keys(content).items() if key not in left_out}
    for group, _, key in (name.partition(".") for name in left_out):
        if key and isinstance(kept.get(group), dict):
            kept[group] = {name: value for name, value in kept[group].items() if name != key}
    if isinstance(trainer := kept.pop("trainer", None), dict):
        chosen = dict.fromkeys(SHIPPED_TRAINER) | trainer  # a key that was removed is null
        if others := {
            key: value
            for key, value in chosen.items()
            if value != SHIPPED_TRAINER.get(key)  # null as well: Lightning's default
        }:
            kept["trainer"] = others
    if starts := digest_of_starts(content):
        kept["warm_starts"] = starts
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def search_key(config: DictConfig) -> str:
    """Return the name of a run's search for a learning rate: a hash of its config without the seeds, which share the search."""
    shared = [str(key) for key in config if key not in ("seed", "data_seed", "evaluate")]
    return config_hash(OmegaConf.masked_copy(config, shared), training=True)


def read_keys(config: DictConfig) -> dict[str, Any]:
    """Return the keys below those of `ONLY_WITH` that this config's choices read, with their plain values."""
    unread = _unread(config)
    keys: dict[str, Any] = {}
    for key in ONLY_WITH:
        value = None if key in unread else OmegaConf.select(config, key)
        if OmegaConf.is_config(value):
            plain: Any = OmegaConf.to_container(value, resolve=True)
            keys |= {f"{key}.{name}": one for name, one in plain.items()}
        elif value is not None:
            keys[key] = value
    return keys


def _unread(config: DictConfig) -> tuple[str, ...]:
    """Return the keys of `ONLY_WITH` that this config's choices do not read."""

    def chosen(choice: str) -> Any:
        return insert_of(config) if choice == "model.insert" else OmegaConf.select(config, choice)

    return tuple(key for key, (choice, value) in ONLY_WITH.items() if chosen(choice) != value)


def refuse_another(directory: Path, config: DictConfig) -> bool:
    """Return whether this config has claimed the directory; raise if another one has.

    A directory in which another config's run failed before training is free. Keys of `INDIFFERENT` may change at any time, and
    `evaluate` until the record is written, so that a corrected evaluation keeps the training.

    Raises:
        ValueError: if the directory holds a run of another config, or a finished one of other data, other weights or other code, or if
            one of its own entries is a link.
    """
    _refuse_links(directory)
    if not (directory / "config.hash").exists():
        return False
    other, own = (directory / "config.hash").read_text().strip(), config_hash(config)
    if other != own:
        if BEFORE_TRAINING.issuperset(path.name for path in directory.iterdir()):
            return False
        may_change = INDIFFERENT if is_finished(directory) else (*INDIFFERENT, "evaluate")
        changed = _difference(read_config(directory), _resolved(config))
        # Else the hashes differ in how a value is written alone: by an interpolation, or out; or in warm starts of other seeds.
        if not changed and starts_warm(config):
            stands = is_finished(directory) and is_in_place(read_record(directory).get("init_from"), config)
            changed = [] if stands else [WARM_STARTS]
        if keys := [key for key in changed if not {key, key.split(".")[0]} & set(may_change)]:
            raise ValueError(
                f"{directory} holds a run of another config (hash {other}, this one {own}; they differ in "
                f"{', '.join(keys[:MAX_KEYS])}{', …' if len(keys) > MAX_KEYS else ''}). One directory holds one config: give this run "
                "another study=NAME, or move that directory away"
                + (
                    f". To evaluate it again without training: bridgelab evaluate {directory} {_overrides(config, keys)}"
                    if all(key.startswith("evaluate.") for key in keys)
                    and (directory / "last.ckpt").exists()  # which an evaluation itself lacks
                    else "."
                )
            )
        if "benchmark.root" in changed and not is_finished(directory):
            _log_once(
                f"{directory}: benchmark.root has changed since the run began: taken for the same data, moved"
            )
    if is_finished(directory):
        refuse_other_data(directory, config)
        _refuse_other_weights(directory, config)
        _refuse_other_code(directory, config)
    return True


def _refuse_links(directory: Path) -> None:
    """Refuse a directory with links among its own entries: a run that is unpacked may hold them, and training would write through them.

    Folders of loggers may hold links inside, as that of Weights & Biases does.
    """
    links = (
        sorted(path.name for path in directory.iterdir() if path.is_symlink()) if directory.is_dir() else []
    )
    if links:
        raise ValueError(
            f"{directory / links[0]} is a link, and a run's folder holds none, because training deletes and writes what is there. "
            "Put the file or folder itself in its place, or remove the link."
        )


def _overrides(config: DictConfig, keys: list[str]) -> str:
    """Return the values of keys as words of a command line."""
    values = {key: OmegaConf.select(config, key) for key in keys}
    return shlex.join(
        f"{key}={quoted(value) if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    )


def _refuse_other_weights(directory: Path, config: DictConfig) -> None:
    """Refuse a finished run's directory if the file of `bridge.init_from` has been written again since."""
    if (config.get("bridge") or {}).get("init_from") is None:
        return
    before = read_record(directory).get("init_from")
    if now := other_weights(before, config):
        raise ValueError(
            f"{directory} holds a run that started from {before}, and bridge.init_from={config.bridge.init_from} is {now} now: one "
            "directory holds one run. Give this run another study=NAME, or move that directory away."
        )


def _refuse_other_code(directory: Path, config: DictConfig) -> None:
    """Refuse a finished run's directory if the class of one's own that it trained has been edited since."""
    before = read_record(directory).get(OWN_CODE)
    if now := other_code(before, config):
        raise ValueError(
            f"{directory} holds a run of the code {before}, and bridge._target_={config.bridge._target_} is {now} now: one directory holds "
            "one run. Give this run another study=NAME, or move that directory away, and tune/ beside it with the search for its rate."
        )


def refuse_other_data(directory: Path, config: DictConfig) -> None:
    """Refuse a finished run whose data lie in another folder than this config's: it reads no data, so no fingerprint would tell.

    Data that have moved are taken for the same, with a warning: the folder of the run is gone then.

    Raises:
        ValueError: if both folders are there.
    """
    if OmegaConf.select(config, "benchmark._target_") == WORLD:
        return
    own = OmegaConf.select(config, "benchmark.root")
    other = OmegaConf.select(read_config(directory), "benchmark.root")
    if None in (own, other) or os.path.realpath(own) == os.path.realpath(other):
        return
    if os.path.exists(other):
        raise ValueError(
            f"{directory} is a finished run of the data in benchmark.root={other}, and it is {own} here: a run belongs to its data. Give "
            f"this run another study=NAME. If {own} is a copy of {other}, set benchmark.root={other}, or remove that one."
        )
    _log_once(
        f"{directory} is finished, with the data of {other}, which is not there any more: {own} is taken for the same data, moved. If it "
        "is not, give this run another study=NAME",
        logging.WARNING,
    )


@functools.cache
def _log_once(line: str, level: int = logging.INFO) -> None:
    """Log a line once per process, however often a directory is checked."""
    log.log(level, line)


def claim(directory: Path, config: DictConfig) -> bool:
    """Claim a run's directory for a config, and return whether a finished run is there already.

    Hold the directory's lock first, because a claim alone keeps no other process out.

    Raises:
        ValueError: if the directory holds a run of another config.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begun = refuse_another(directory, config)
    finished = is_finished(directory)
    if not begun or (not finished and (directory / "config.hash").read_text().strip() != config_hash(config)):
        with atomic_path(directory / "config.yaml") as temporary:
            OmegaConf.save(_resolved(config), temporary)
        with atomic_path(
            directory / "config.hash"
        ) as temporary:  # last, so that config.yaml exists if it does
            temporary.write_text(config_hash(config) + "\n")
    return finished


def _resolved(config: DictConfig) -> Any:
    """Return the config resolved, with local weights by their absolute path and without Hydra's keys, which resolve only in a job."""
    kept = {key: value for key, value in config.items_ex(resolve=False) if key != "hydra"}
    return _with_absolute_weights(
        OmegaConf.create(OmegaConf.to_container(OmegaConf.create(kept), resolve=True))
    )


def _with_absolute_weights(config: Any) -> Any:
    for key in WEIGHTS:
        if isinstance(value := OmegaConf.select(config, key), str):
            OmegaConf.update(config, key, _absolute(key, value))
    return config


def _absolute(key: str, value: str) -> str:
    """Return an existing path as an absolute one, as from another folder it would be taken for a name on a hub; a name as it is."""
    scheme = LOCAL if value.startswith(LOCAL) else ""
    path = value.removeprefix(scheme)
    names_a_model = key == "vision.weights" and not (scheme or value.endswith(".safetensors"))
    if value == "miniature" or names_a_model or not os.path.exists(path):
        return value
    return scheme + os.path.abspath(path)


def _difference(written: Any, config: Any) -> list[str]:
    """Return the keys in which two resolved configs differ."""

    def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(node, dict):
            return {k: v for key, value in node.items() for k, v in leaves(value, f"{prefix}{key}.").items()}
        return {prefix[:-1]: node}

    first, second = (leaves(OmegaConf.to_container(one)) for one in (_with_absolute_weights(written), config))
    keys = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    without_effect = (
        *NOT_IDENTITY,
        CHECKPOINTING,
        DEVICE_MAP,
        *(set(_unread(written)) & set(_unread(config))),
    )
    return [key for key in keys if not any(f"{key}.".startswith(f"{name}.") for name in without_effect)]
