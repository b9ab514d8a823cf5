"""One alignment, from its config to its record."""

import logging
import os
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from bridgelab.alignment.experiment import AlignmentExperiment
from bridgelab.alignment.retrieval import I2T, T2I, chance, evaluate
from bridgelab.alignment.weights import weights_of
from bridgelab.bridge.weights import write_weights
from bridgelab.config.root import config_root
from bridgelab.device import trainer_device
from bridgelab.printable import shown
from bridgelab.runs.environment import provenance
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import config_hash
from bridgelab.runs.initial_weights import initial_file
from bridgelab.runs.record import write_json
from bridgelab.training.console import busy_machine
from bridgelab.training.run import leave_other_processes

WEIGHTS = "weights.safetensors"
SHARED = ("vision", "text", "bridge")  # groups that the second stage has in common with the first
log = logging.getLogger(__name__)


def align(config: DictConfig, directory: Path, *, bridge: str, overrides: Sequence[str] = ()) -> None:
    """Align a Q-Former with captions, and write weights and record to `directory`.

    Args:
        config: as `conf/align.yaml` composes it.
        directory: the run's folder, claimed.
        bridge: its name in `conf/bridge/`.
        overrides: those that the config was composed with.
    Raises:
        ValueError: if something does not fit, before anything is trained.
    """
    clock = time.monotonic()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    experiment = AlignmentExperiment(config, trainer_device(config.trainer.accelerator))
    if experiment.device.type == "cpu" and (advice := busy_machine(torch.get_num_threads())):
        log.warning("%s", advice)
    fitted = experiment.fit(directory)
    if leave_other_processes() > 0:
        return
    model = experiment.model.to(experiment.device)
    metrics = evaluate(model, experiment.val, config.train.batch_size)
    origin = {name: experiment.fingerprints[name] for name in ("vision", "tokenizer")}
    write_weights(weights_of(model), directory / WEIGHTS, {"stage": "alignment", "bridge": bridge, **origin})
    seconds = {"train_seconds": fitted.seconds, "wall_seconds": time.monotonic() - clock}
    record = alignment_record(experiment, directory, bridge, metrics, seconds)
    write_json(directory / RECORD, record)
    for line in summary(record, directory, overrides):
        log.info("%s", line)


def alignment_record(
    experiment: AlignmentExperiment,
    directory: Path,
    bridge: str,
    metrics: dict[str, float],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return the content of an alignment's record.

    Args:
        experiment: all that stands around the Q-Former.
        directory: the run's folder.
        bridge: the bridge's name in `conf/bridge/`.
        metrics: of val at the end, by name.
        seconds: trained, and of the whole run.
    """
    config, train = experiment.config, experiment.config.train
    captions = {"train": experiment.train, "val": experiment.val}
    trained = sum(p.numel() for p in experiment.model.parameters() if p.requires_grad)
    return {
        "stage": "alignment",
        "study": config.study,
        "overrides": directory.name,
        "bridge": bridge,
        "benchmark": experiment.data.benchmark.name,
        "seed": config.seed,
        "data_seed": config.data_seed,
        "lr": train.lr,
        "warmup": train.schedule.warmup,
        "steps": train.steps,
        "batch_size": train.batch_size,
        "examples_seen": train.steps * train.batch_size,
        "init_from": initial_file(config),
        "captions": {split: len(own) for split, own in captions.items()},
        "images": {split: len({e.images for e in own.examples}) for split, own in captions.items()},
        "precision": experiment.model.precision,
        **experiment.data.record_fields(),
        "fingerprints": experiment.fingerprints,
        "config_hash": config_hash(config),
        **provenance(config_root(), experiment.device),
        "costs": {"trainable_parameters": trained, **seconds},
        "chance": chance(experiment.val),
        "metrics": metrics,
    }


def summary(record: dict[str, Any], directory: Path, overrides: Sequence[str] = ()) -> list[str]:
    """Return lines with a finished alignment's results, where its record is, and what to do next.

    Args:
        record: of the alignment.
        directory: the run's folder.
        overrides: of the alignment; the second stage needs those of its Q-Former and of both models.
    """
    metrics, by_chance = record["metrics"], record["chance"]
    recalls = [
        f"{label} R@1 {100 * metrics[name]:.1f} % (chance {100 * by_chance[name]:.1f} %)"
        for name, label in ((I2T, "image to text"), (T2I, "text to image"))
    ]
    losses = ", ".join(f"{name} {metrics[f'val/{name}']:.3f}" for name in ("itc", "itm", "itg"))
    keys = {one: re.split(r"[=@]", one.lstrip("+~"))[0] for one in overrides}
    shared = [
        one
        for one, key in keys.items()
        if key.partition(".")[0] in SHARED and key not in ("bridge", "bridge.init_from")
    ]
    words = shlex.join([f"bridge={record['bridge']}", *shared, f'bridge.init_from="{directory / WEIGHTS}"'])
    return [
        f"on val: {', '.join(recalls)}, losses {losses}",
        f"record: {shown(directory)}{os.sep}{RECORD}",
        f"next: bridgelab train {words}",
    ]
