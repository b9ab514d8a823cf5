"""The default world from scratch: images, questions, captions, and the frozen encoder's features of all splits."""

import shutil
import time
from pathlib import Path

from omegaconf import DictConfig

from bridgelab.config.instantiate import build
from bridgelab.data.features.feature_source import build_features

WORLD_COLUMNS = ("images", "drawn and asked about, s", "encoded, s", "together, s")


def world_row(config: DictConfig, folder: Path) -> list[str]:
    """Return a row under `WORLD_COLUMNS`, timed once, since it takes minutes; the folder is removed again.

    Args:
        config: as `conf/train.yaml` composes it; its world's size and processes are kept.
        folder: for the world and the features; must not be there yet.
    """
    config = config.copy()
    config.benchmark.root, config.paths.features = str(folder / "world"), str(folder / "features")
    world = build(config.benchmark, "benchmark")
    began = time.perf_counter()
    for split in world.splits:
        world.make(split)
    draw_seconds = time.perf_counter() - began
    build_features(config, world.splits, (0, 1))
    total = time.perf_counter() - began
    shutil.rmtree(folder)
    images = sum(world.images.values())
    return [
        f"{images:,} by {world.processes} process(es)",
        f"{draw_seconds:.0f}",
        f"{total - draw_seconds:.0f}",
        f"{total:.0f}",
    ]
