"""The frozen encoder's features of a benchmark's images: for a run, and by `bridgelab features build` before any run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bridgelab.benchmark.example import choose
from bridgelab.config.instantiate import build
from bridgelab.data.feature_store import FeatureStore
from bridgelab.data.images import check_image, listed, tried
from bridgelab.data.mapped import MappedFeatures
from bridgelab.data.online import OnlineFeatures
from bridgelab.device import local_device

SPLITS = ("train", "val", "test")  # what a run reads
SOURCES = ("store", "online")
ON_ERROR = ("refuse", "skip")


def image_features(config: DictConfig, vision: Any, images: Sequence[str]) -> MappedFeatures | OnlineFeatures:
    """Features of images, from the store or made each time, as `data.features` says.

    Args:
        config: of a run.
        vision: the frozen encoder, where it is to run.
        images: paths; what is broken among them is refused, or left out, as `data.on_error` says.
    Raises:
        ValueError: if a setting is unknown, or images are broken, with a list.
    """
    data, skip = config.data, skips(config)
    if choose(data.features, SOURCES, "data.features") == "online":
        return OnlineFeatures(vision, images, dtype=data.dtype, skip=skip)
    return FeatureStore(Path(config.paths.features), vision, dtype=data.dtype).features(images, skip=skip)


def left_out(config: DictConfig, images: Sequence[str]) -> dict[str, str]:
    """What is wrong with images, by path, for a bridge that does not see them: it answers the same examples as the others.

    Where a broken image is refused, the runs that see it refuse it.
    """
    return tried(check_image, images, "looking at images")[1] if skips(config) else {}


def skips(config: DictConfig) -> bool:
    """Whether examples with broken images are left out."""
    return choose(config.data.on_error, ON_ERROR, "data.on_error") == "skip"


def build_features(config: DictConfig, splits: Sequence[str] | None, part: tuple[int, int]) -> str:
    """Encode all images of some splits that are not there yet.

    Args:
        config: as `conf/train.yaml` composes it.
        splits: of the benchmark; None for those that a run reads.
        part: as in `FeatureStore.features`; on several GPUs process i takes the i-th.
    Returns:
        what was done.
    Raises:
        ValueError: if images are broken, with a list, or as the parts say themselves.
    """
    skip = skips(config)
    benchmark = build(config.benchmark, "benchmark")
    chosen = splits or [split for split in SPLITS if split in benchmark.splits]
    examples = [e for split in chosen for kind in benchmark.kinds for e in benchmark.examples(split, kind)]
    vision = build(config.vision, "vision").to(local_device(part[0]))
    store = FeatureStore(Path(config.paths.features), vision, dtype=config.data.dtype)
    found = store.features([path for e in examples for path in e.images], skip=skip, part=part)
    told = (
        f"{store.shelf.folder}: {len(found)} images of {benchmark.name}, {store.encoded} of them encoded now"
    )
    return told + (f"; {len(found.left_out)} left out:\n{listed(found.left_out)}" if found.left_out else "")


def part_of(shard: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """(i, n) of the work: as given, `i/n`, or the Slurm task that this is, or all of it.

    Raises:
        ValueError: if it is no such pair.
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
