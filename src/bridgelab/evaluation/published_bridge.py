"""A published bridge between the backbones that a config names, without training: from the hub, a converted checkpoint, or warm.

A bridge of the hub and one of the package bring the moments of their patches and their scale. One that `bridgelab convert` wrote was
trained on patches as they are and outputs tokens as they are: mean 0, standard deviation 1, scale 1. A run that trains it further keeps
mean and deviation, and sets the scale from its first batch.
"""

import logging
import re
import shlex
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bridgelab.backbones import Backbones
from bridgelab.bridge.hub import HubBridge
from bridgelab.bridge.hub_repository import SCHEME, is_hub
from bridgelab.bridge.published import read_metadata, training_overrides
from bridgelab.bridge.weights import join_names
from bridgelab.data.datamodule import BenchmarkDataModule
from bridgelab.evaluation.costs import measure_test_costs
from bridgelab.evaluation.evaluate import evaluate_split, floor_examples, training_captions
from bridgelab.evaluation.load import refuse_foreign
from bridgelab.evaluation.predict import ProgressCallback
from bridgelab.evaluation.record_fields import record_fields
from bridgelab.model import BridgedModel
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import WEIGHTS, claim
from bridgelab.runs.initial_weights import initial_file
from bridgelab.runs.insert import insert_of
from bridgelab.runs.record import write_json, write_predictions
from bridgelab.runs.warm_start_files import SHIPPED, WARM

OTHER_READERS = {  # formats of bridges that were trained for another kind of language model
    "llava": "Vicuna", "llava_hf": "Vicuna", "idefics2": "Mistral", "openflamingo": "MPT",
}  # fmt: skip
SHORT = 8  # characters of a digest in a folder's name
log = logging.getLogger(__name__)


def hub_config(
    hub: HubBridge, *, trust: bool = False, paths: Mapping[str, str | Path] | None = None
) -> DictConfig:
    """Return the config that loads a bridge from the hub between the backbones that it was trained between.

    Args:
        hub: the repository's content.
        paths: places of the backbones' files on this machine, by key of the config, such as `text.path`.
        trust: allow code from outside this package, which the config names and which is here.
    Raises:
        ValueError: if the config names such code and is not trusted, or `paths` has a key that is no place of a backbone's files.
    """
    config = OmegaConf.create(
        {
            "bridge": {},
            "seed": 0,
            "train": {"precision": "auto"},
            "data": {"dtype": "bfloat16"},
            "budget": {"params": None, "tokens": None},
            "model": {"insert": None, "positions": None},
            **{group: {} for group in ("vision", "text", "benchmark")},
        }
    )
    use_hub_bridge(config, hub, replaced=("vision", "text", "benchmark"))
    for key, path in (paths or {}).items():
        if key not in WEIGHTS:
            raise ValueError(
                f"paths names {key!r}: its keys are among {', '.join(WEIGHTS)}. Correct the key."
            )
        OmegaConf.update(config, key, str(path), force_add=True)
    if not trust:
        refuse_foreign(config, hub.source)
    return config


def use_hub_bridge(config: DictConfig, hub: HubBridge, *, replaced: Collection[str]) -> None:
    """Set a config's bridge, precision and rounding of features to those of a repository, and some of its other groups.

    Args:
        config: changed in place.
        hub: the repository's content.
        replaced: the groups to take from the repository, of `vision`, `text` and `benchmark`.
    Raises:
        ValueError: if the repository lacks one of these.
    """
    choices = {key: value for key, value in hub.config.choices.items() if key != "grid"}
    config.bridge = {"_target_": hub.config.target, "init_from": hub.source, **choices}
    config.model.insert, config.model.positions = hub.config.insert, hub.config.positions
    if hub.config.cross_attention is not None:
        config.model.cross_attention = hub.config.cross_attention.model_dump()
    config.train.precision = hub.config.precision or config.train.precision
    config.data.dtype = hub.config.features_dtype or config.data.dtype
    for group in replaced:
        if "_target_" not in hub.config.groups.get(group, {}):
            raise ValueError(
                f"{hub.source} does not name its {group} by a _target_ in groups.{group} of its config.json. Choose a repository that "
                "'bridgelab push' wrote."
            )
        config[group] = hub.config.groups[group]


def load_published(config: DictConfig, device: Any) -> tuple[Backbones, BridgedModel]:
    """Return the backbones of a config, and between them the bridge that `bridge.init_from` holds.

    Args:
        config: of a run, with `bridge.init_from`: a file by our names, a repository of the hub, or `warm`.
        device: where the models go.
    Raises:
        FileNotFoundError: if there is no such file.
        ConnectionError: if the hub can't be reached.
        ValueError: if the weights do not fit the bridge, the backbones or each other, or leave a tensor at its initial value.
    """
    source = config.bridge.init_from
    is_file = source != WARM and not is_hub(source)
    if is_file:
        _refuse_untrained_parts(config, source)
    backbones = Backbones(config, device)
    seed = config.get("seed", 0)
    model = backbones.model(seed)
    if backbones.not_loaded:
        overrides = training_overrides(source) if is_file else [f"bridge.init_from={source}"]
        raise ValueError(
            f"{source} leaves {join_names(backbones.not_loaded)} at initial values, which are random: without training, every weight "
            "must be given. Choose the vision and text models of the publication, or train: "
            f"{shlex.join(['bridgelab', 'train', *overrides])}"
        )
    if source == WARM and seed not in backbones.warm_starts:
        raise ValueError(f"{config.bridge._target_} has no warm start. Choose one of {SHIPPED / 'README.md'}")
    if is_file:
        model.scale.fill_(1.0)  # tokens as the publication uses them
        reader = OTHER_READERS.get(read_metadata(source).get("format", ""))
        if reader:
            log.warning(
                "%s was trained for %s: a T5 has not learned to read its tokens. Train it further",
                source,
                reader,
            )
    return backbones, model.eval()


def _refuse_untrained_parts(config: DictConfig, source: str) -> None:
    """Refuse what a config adds to a bridge and a file of its weights lacks."""
    for key, value, part, off in (
        ("model.positions", str(config.model.positions).lower(), "positions", "false"),
        ("model.insert", insert_of(config), "blocks of cross-attention", "encoder_input"),
        ("text.adapt", config.text.get("adapt", "none"), "an adapter", "none"),
    ):
        if value not in ("false", "none", "encoder_input", "encoder_output"):
            raise ValueError(
                f"{key}={value} adds {part}, which {source} does not hold: without training they would be random. Set {key}={off}."
            )


def evaluate_published(
    config: DictConfig,
    device: Any,
    *,
    bridge: str,
    split: str = "test",
    progress: ProgressCallback | None = None,
) -> Path:
    """Evaluate a published bridge on a benchmark, and return the folder of its record, which `bridgelab report` reads.

    Args:
        config: as `conf/train.yaml` composes it, with `bridge.init_from`.
        device: where the models go.
        bridge: its name in the record.
        split: of the benchmark.
        progress: called with the task, the number of examples done, and the total.
    Raises:
        FileNotFoundError: if weights or data are missing.
        ValueError: as `load_published`, or if the benchmark has no such split.
    """
    clock = time.monotonic()
    backbones, model = load_published(config, device)
    source = str(config.bridge.init_from)
    exact = _exact(config, backbones)
    data = BenchmarkDataModule(backbones, [split])
    benchmark = data.benchmark.name if split == "test" else f"{data.benchmark.name}_{split}"
    used = f"_with_{config.evaluate.tokens}_tokens" if config.evaluate.get("tokens") else ""
    config.study = f"{config.study}_on_{benchmark}{used}"
    folder = Path(config.paths.runs) / config.study / _run_name(bridge, source, exact, config.seed)
    if claim(folder, config):
        log.info("%s is already finished, nothing to do", folder)
        return folder
    train, captions = floor_examples(data.benchmark), training_captions(data, model)
    data.setup("test")
    tests = data.test_examples(split, model.conditioning)
    rows, metrics = evaluate_split(model, data, tests, train, captions, split, progress)
    write_predictions(folder / "predictions.parquet", rows)
    costs = measure_test_costs(model, tests) | {"wall_seconds": time.monotonic() - clock}
    record = {
        **record_fields(config, model, device),
        "overrides": folder.name,
        "bridge": bridge,
        "benchmark": benchmark,
        "split": split,
        "lr": None,
        "tuned_over": [],
        "steps": 0,
        "examples_seen": 0,
        "mixture": {},
        **data.record_fields(),
        "fingerprints": backbones.fingerprints,
        "init_from": exact,
        "costs": costs,
        "curve": [],
        "budgets": [],
        "metrics": metrics,
    }
    write_json(folder / RECORD, record)
    return folder


def _exact(config: DictConfig, backbones: Backbones) -> str:
    """Return a bridge's source with the commit or digest of its weights."""
    source = str(config.bridge.init_from)
    if source == WARM:
        return backbones.warm_starts[config.seed].source
    return source if is_hub(source) else str(initial_file(config))


def _run_name(bridge: str, source: str, exact: str, seed: int) -> str:
    """Return a run's folder name. It has a part of the file's digest or of the commit, so that other weights are another run.

    A stranger's repository names the bridge: its name is part of one folder's name, and no path.
    """
    bridge = re.sub(r"[^\w.-]", "_", bridge)
    if source == WARM:  # whose digest is part of a run's identity; its seeds are one row of a report
        return f"bridge={bridge},init_from={WARM},seed={seed}"
    name, _, digest = exact.removeprefix(SCHEME).rpartition("@")
    plain = re.sub(r"[^\w.-]", "_", name if is_hub(source) else Path(name).stem)
    return f"bridge={bridge},init_from={plain}@{digest[:SHORT]}"
