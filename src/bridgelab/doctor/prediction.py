"""How big a run is going to be: disk, memory and hours, from what it goes through and what was probed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from bridgelab.doctor.check import MISSING, NOTE, OK, Check
from bridgelab.doctor.layer_costs import feature_bytes
from bridgelab.doctor.machine import disk_free, memory_bytes
from bridgelab.doctor.measurement import Answering, Memory, Probe
from bridgelab.doctor.sweep import Sweep
from bridgelab.doctor.units import duration, size
from bridgelab.doctor.workload import Kind, Volume

EDGE = 0.9  # of a device's memory: what needs more is taken as not fitting
FEWER = "a smaller train.batch_size, text.checkpointing=true, a smaller T5"


@dataclass(frozen=True)
class Costs:
    """What was probed.

    Args:
        step: seconds of a training step, over all pools as often as they are drawn; 0 where nothing is trained.
        image: seconds of an image's way into the feature store.
        answering: of each kind of example.
        memory: of a step.
        process: bytes that the process takes before it loads anything; 0 on a GPU.
    """

    step: float
    image: float
    answering: Mapping[str, Answering]
    memory: Memory
    process: int = 0


def probed(probe: Probe, volume: Volume, process: int) -> Costs:
    """Costs of a run that goes through so much."""
    kinds = dict(volume.validated) | dict(volume.tested)
    step = (
        sum(share * probe.step(lengths) for share, lengths in volume.pools.values()) if probe.trained else 0.0
    )
    return Costs(
        step=step,
        image=probe.encoding(volume.some),
        answering={kind: probe.answering(one.lengths, max(1, one.tokens)) for kind, one in kinds.items()},
        memory=probe.memory(volume.longest),
        process=0 if probe.device.type == "cuda" else process,
    )


def storage(config: DictConfig, probe: Probe, volume: Volume) -> Check:
    """Disk for the features."""
    vision = probe.rehearsal.vision
    if vision is None or probe.rehearsal.sees != "image" or online(config):
        return Check(OK, "features", "none are kept")
    patches, each = probe.rehearsal.patches(1), stored(config)
    form = f"{patches} patches × {vision.dim} × {each} bytes"
    if volume.images is None:
        one = size(1000 * feature_bytes(1, patches, vision.dim, each))
        return Check(NOTE, "features", f"unknown number of images × {form}: {one} for 1,000", "give images=N")
    needed, free = (
        feature_bytes(volume.images, patches, vision.dim, each),
        disk_free(Path(config.paths.features)),
    )
    told = f"{size(needed)} on disk: {volume.images:,} images × {form}; {size(free)} free"
    if needed < free:
        return Check(OK, "features", told)
    return Check(MISSING, "features", told, "set paths.features to a larger disk, or data.features=online")


def stored(config: DictConfig) -> int:
    """Bytes of a feature in the store."""
    return getattr(torch, config.data.dtype).itemsize


def online(config: DictConfig) -> bool:
    """Whether features are made anew each time."""
    return config.data.features == "online"


def room(config: DictConfig, probe: Probe, costs: Costs) -> Check:
    """Memory at the peak of a step."""
    memory, needed = costs.memory, costs.memory.peak + costs.process
    most = max(memory.step, memory.answers, memory.encoding)
    greatest = {memory.encoding: "encoding", memory.answers: "an evaluation's batch", memory.step: "a step"}[
        most
    ]
    parts = {
        "T5": memory.text,
        "ViT": memory.vision,
        "bridge and optimizer": memory.trained,
        greatest: most,
        "Python": costs.process,
    }
    told = f"{size(needed)}: {', '.join(f'{name} {size(part)}' for name, part in parts.items() if part)}"
    if probe.device.type == "cuda":
        free = torch.cuda.get_device_properties(probe.device).total_memory
        if config.text.get("device_map"):
            free *= torch.cuda.device_count()
        where = "on the GPU" if torch.cuda.device_count() == 1 else "on a GPU"
    else:
        _, free = memory_bytes()
        free, where = free + costs.process, "free here"
    told += f"; {size(free)} {where}"
    return Check(OK, "memory", told) if needed < EDGE * free else Check(MISSING, "memory", told, FEWER)


def hours(sweep: Sweep, probe: Probe, volume: Volume, costs: Costs, slots: int) -> Iterator[Check]:
    """Seconds of a step, and hours of all that a job does and a sweep multiplies."""
    config, unknown = sweep.config, "give examples=TRAIN+TEST"
    trains = bool(probe.trained)
    beside = volume.each * costs.image if online(config) else 0.0  # of an example whose features are not kept
    train, tune = 0.0, (0.0, 0.0)
    if trains:
        step = costs.step + probe.batch_size * beside
        forward, backward = probe.flops(max(volume.pools.values(), key=lambda one: one[0])[1])
        told = f"{duration(step)} with {probe.batch_size} examples; the T5 computes {_flops(forward + backward)} an example"
        yield Check(OK, "a step", told)
        branched = config.train.schedule.decay * sum(
            config.train.budgets
        )  # of smaller budgets, their cool-downs alone
        train = config.train.steps * (1 + branched) * step
        told = f"{duration(train)}: {config.train.steps:,} steps"
        if branched:
            told += f", and {branched:.0%} of them for {len(config.train.budgets)} smaller budgets"
        yield Check(OK, "training", told)
        if config.train.lr is None:
            after = sum(
                kind.examples * (costs.answering[name].read + costs.answering[name].score + beside)
                for name, kind in volume.validated.items()
            )
            trials = len(config.tune.lrs) + len(set(config.tune.warmups) - {config.train.schedule.warmup})
            most = trials + config.tune.extend
            one = config.tune.steps * step + after
            halved = config.train.schedule.shape == "warmup_stable_decay"
            if halved:  # it cools down after half of its steps too
                one += 0.5 * config.train.schedule.decay * config.tune.steps * step + after
            tune = tuple(number * one for number in (trials, most))
            told = f"{_between(*tune)}: {trials}–{most} trials of {config.tune.steps:,} steps"
            told += f"{', and of half as many' * halved}, once for all seeds"
            yield Check(
                OK,
                "tuning",
                told,
                "" if tune[1] < 2 * train else "train.lr=X leaves it out; tune.steps=N makes it shorter",
            )

    def answered(kinds: Mapping[str, Kind], views: Mapping[str, int]) -> float:
        return sum(
            kind.examples * views[name] * (_seconds(kind, costs.answering[name]) + beside)
            for name, kind in kinds.items()
        )

    validate = evaluate = 0.0
    if volume.validated and trains:
        points = config.train.val_points + len(config.train.budgets)
        validate = answered(
            volume.validated, {name: points * (name != "caption") for name in volume.validated}
        )
        yield Check(OK, "validation", f"{duration(validate)}: {points} times")
    if volume.tested:
        shuffled = bool(config.evaluate.shuffled and probe.rehearsal.sees == "image")
        captioned = config.evaluate.captioned is not None and probe.rehearsal.sees == "image"
        views = {name: 1 + shuffled + (captioned and name != "caption") for name in volume.tested}
        evaluate = answered(volume.tested, views)
        if captioned and "caption" in volume.tested:
            evaluate += volume.asked * _seconds(volume.tested["caption"], costs.answering["caption"])
        asked = ", ".join(
            f"{kind.examples:,} × {views[name]} of {name}" for name, kind in volume.tested.items()
        )
        yield Check(OK, "evaluation", f"{duration(evaluate)}: {asked}")
    else:
        yield Check(NOTE, "evaluation", "unknown number of examples", unknown)
    features = 0.0
    if costs.image and not online(config):
        if volume.images is None:
            told = f"{duration(1000 * costs.image)} for 1,000 images"
            yield Check(NOTE, "encoding", told, "give images=N")
        else:
            features = volume.images * costs.image
            yield Check(OK, "encoding", f"{duration(features)}: once for all runs with this ViT")
    each = train + validate + evaluate
    yield Check(OK, "one run", f"{_between(features + tune[0] + each, features + tune[1] + each)} in all")
    if sweep.jobs > 1:
        # Jobs share out encoding and searches, but a sweep is never done before a job of its own would be.
        totals = [
            max(features + one + each, (features + sweep.searches * one + sweep.jobs * each) / slots)
            for one in tune
        ]
        swept = " × ".join(f"{number} {key}" for key, number in sweep.values.items())
        told = f"{_between(*totals)}: {sweep.jobs} jobs ({swept}), {sweep.searches} searches, {slots} at a time, each as long as the first"
        yield Check(OK, "the sweep", told)


def _seconds(kind: Kind, costs: Answering) -> float:
    """Of one example in one view."""
    if kind.choices:
        return costs.read + kind.choices * costs.score
    return costs.read + kind.tokens * costs.token + costs.score


def _between(least: float, most: float) -> str:
    low, high = duration(least), duration(most)
    return low if low == high else f"{low} to {high}"


def _flops(count: float) -> str:
    for unit in ("M", "G", "T"):
        count /= 1e3 if unit != "M" else 1e6
        if count < 999.5 or unit == "T":
            break
    return f"{count:.3g} {unit}FLOP"
