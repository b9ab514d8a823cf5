"""What a run needs: its models and data, and how big it is going to be."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.device import trainer_device
from bridgelab.doctor.check import MISSING, NOTE, OK, Check
from bridgelab.doctor.measurement import Probe
from bridgelab.doctor.meta_models import text_config, tokenizer, tower
from bridgelab.doctor.prediction import FEWER, hours, probed, room, storage
from bridgelab.doctor.reachable import hub_has, text_side, vision_side
from bridgelab.doctor.resident import resident
from bridgelab.doctor.sweep import Sweep
from bridgelab.doctor.workload import Counts, Volume, volume
from bridgelab.launch.slots import slot_environments


def run(conf: Path, sweep: Sweep, given: Mapping[str, Counts]) -> Iterator[tuple[str, Iterable[Check]]]:
    """Tables of findings, one after another.

    Args:
        conf: the folder of config groups.
        sweep: what would be run.
        given: numbers of images and examples that were given.
    """
    config = sweep.config
    chosen = config.hydra.runtime.choices.benchmark
    head = (conf / "benchmark" / f"{chosen}.yaml").read_text()
    found = volume(config, tokenizer(str(config.text.path)), given, head)
    yield (
        "models and data",
        [vision_side(config.vision), text_side(config.text), *_data(config, chosen, found)],
    )
    yield "the run", _size(sweep, found)


def _data(config: DictConfig, name: str, found: Volume) -> Iterator[Check]:
    told = ", ".join(
        f"{number:,} {what}" if number is not None else f"unknown number of {what}"
        for number, what in ((found.images, "images"), (found.examples, "training examples"))
    )
    if found.problem is None:
        yield Check(OK, "data", f"{name}: {told} ({found.source})")
        return
    yield Check(MISSING, "data", f"{name}: {found.problem}")
    if hub := config.benchmark.get("hub"):
        answered, said = hub_has(str(hub), ["README.md"], "dataset")
        yield Check(NOTE if answered else MISSING, "data", f"{hub}: {said}")
    yield Check(NOTE, "how much", f"{told} ({found.source})")


def _size(sweep: Sweep, found: Volume) -> Iterator[Check]:
    config = OmegaConf.masked_copy(sweep.config, [str(key) for key in sweep.config if key != "hydra"])
    process = resident()
    device = trainer_device(config.trainer.accelerator)
    if device.type == "cpu" and config.trainer.accelerator in ("gpu", "cuda"):
        yield Check(
            MISSING,
            "GPU",
            "none that torch can use: what follows is of this CPU",
            "trainer=cpu, or run this where the GPU is",
        )
    launcher, slots = sweep.config.hydra.launcher, 1
    if sweep.jobs > 1 and "slots" in launcher:
        slots, threads = _slots(launcher)
        if device.type == "cpu":
            torch.set_num_threads(threads)
    try:
        shape, visual = text_config(str(config.text.path)), tower(config.vision)
    except ValueError as error:
        yield Check(MISSING, "size", str(error))
        return
    try:
        processes = _number(config.trainer.get("devices", 1)) * _number(config.trainer.get("num_nodes", 1))
        probe = Probe(config, device, shape, visual, images=found.each, processes=processes)
        yield storage(config, probe, found)
        costs = probed(probe, found, process)
    except torch.OutOfMemoryError:
        yield Check(MISSING, "memory", "a step does not fit with even a few layers of the T5", FEWER)
        return
    yield room(config, probe, costs)
    yield from hours(sweep, probe, found, costs, slots)


def _number(given: Any) -> int:
    return given if isinstance(given, int) and given > 0 else max(1, torch.cuda.device_count())


def _slots(launcher: DictConfig) -> tuple[int, int]:
    environments = slot_environments(launcher.slots, launcher.gpus_per_job, launcher.threads)
    return len(environments), int(environments[0]["OMP_NUM_THREADS"])
