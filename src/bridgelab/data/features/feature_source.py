"""Image features of a benchmark: for a run, and for `bridgelab features build`, which encodes before any run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bridgelab.benchmark.example import choose
from bridgelab.config.instantiate import build
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.memory_mapped import MappedFeatures
from bridgelab.data.features.online import OnlineFeatures
from bridgelab.data.image_files import check_image, list_problems, try_each
from bridgelab.device import local_device

SPLITS = ("train", "val", "test")  # the splits that a run reads
SOURCES = ("store", "online")
ON_ERROR = ("refuse", "skip")


def image_features(config: DictConfig, vision: Any, images: Sequence[str]) -> MappedFeatures | OnlineFeatures:
    """Return features of images, from the store or encoded at each use, as `data.features` says.

    Args:
        config: a run's config.
        vision: the frozen encoder, on the device to encode on.
        images: paths. Broken ones are refused or left out, as `data.on_error` says.
    Raises:
        ValueError: if `data.features` or `data.on_error` is unknown, or images are broken, with a list.
    """
    data, skip = config.data, skips(config)
    if choose(data.features, SOURCES, "data.features") == "online":
        return OnlineFeatures.checked(vision, images, dtype=data.dtype, skip=skip)
    return FeatureStore(Path(config.paths.features), vision, dtype=data.dtype).features(images, skip=skip)


def broken_images(config: DictConfig, images: Sequence[str]) -> dict[str, str]:
    """Return the problems of broken images by path, also for bridges that read none, so that all bridges answer the same examples.

    Empty if `data.on_error` refuses broken images: then the runs that read them stop.
    """
    return try_each(check_image, images, "looking at images")[1] if skips(config) else {}


def skips(config: DictConfig) -> bool:
    """Return whether examples with broken images are left out."""
    return choose(config.data.on_error, ON_ERROR, "data.on_error") == "skip"


def build_features(config: DictConfig, splits: Sequence[str] | None, part: tuple[int, int]) -> str:
    """Encode the images of splits that are not stored yet, and return a summary for the terminal.

    Args:
        config: as `conf/train.yaml` composes it.
        splits: of the benchmark; None for those that a run reads.
        part: see `FeatureStore.features`; process i also takes the i-th GPU.
    Raises:
        ValueError: if images are broken, with a list.
    """
    skip = skips(config)
    benchmark = build(config.benchmark, "benchmark")
    chosen = splits or [split for split in SPLITS if split in benchmark.splits]
    examples = [e for split in chosen for kind in benchmark.kinds for e in benchmark.examples(split, kind)]
    vision = build(config.vision, "vision").to(local_device(part[0]))
    store = FeatureStore(Path(config.paths.features), vision, dtype=config.data.dtype)
    features = store.features([path for e in examples for path in e.images], skip=skip, part=part)
    summary = f"{store.folder.path}: {len(features)} images of {benchmark.name}, {store.encoded} of them encoded now"
    return summary + (
        f"; {len(features.left_out)} left out:\n{list_problems(features.left_out)}"
        if features.left_out
        else ""
    )


def work_part(shard: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return (i, n): this process is the i-th of n.

    Args:
        shard: "i/n"; None for the Slurm task that this is, or for one process.
        environment: variables of the process.
    Raises:
        ValueError: if `shard` is not such a pair.
    """
    if shard is None:
        names = ("SLURM_PROCID", "SLURM_NTASKS")
        if not all(name in environment for name in names):
            return 0, 1
        shard = "/".join(environment[name] for name in names)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"--shard {shard}: must be i/n with i from 0 to n-1. Give, say, --shard 0/4.")
    return int(match[1]), int(match[2])
