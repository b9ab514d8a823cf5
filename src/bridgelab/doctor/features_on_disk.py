"""The feature store's size on disk: of a run's images, of those that are stored already, and of a million images for a large data set."""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from bridgelab.data.features.shard import row_bytes
from bridgelab.data.features.store_folder import store_folders
from bridgelab.doctor.check import MISSING, NOTE, OK, Check, size
from bridgelab.doctor.dry_run import DryRun
from bridgelab.doctor.machine import disk_free
from bridgelab.doctor.workload import Workload

MILLION = 10**6
LARGE = 100_000  # images, from which the size for a million is of interest
NO_STORE = "data.features=online"  # encodes images at each use
FORMS = ("float32", "bfloat16", "int8")  # the sizes that there are; float16 takes what bfloat16 takes


def features_check(config: DictConfig, dry_run: DryRun, workload: Workload) -> Check:
    """Compare the feature store's size with the disk."""
    vision = dry_run.vision
    if vision is None or not _stores(config, dry_run):
        return Check(OK, "features", "none are kept")
    patches = dry_run.patches(1)
    image_bytes = row_bytes(patches, vision.dim, config.data.dtype)
    form = f"{size(image_bytes)} ({patches} patches × {vision.dim} in {config.data.dtype})"
    if workload.images is None:
        detail = f"unknown number of images, each {form}: {size(1000 * image_bytes)} for 1,000"
        return Check(NOTE, "features", detail, "give images=N")
    missing = round(workload.images * (1 - workload.stored))
    needed, free = missing * image_bytes, disk_free(Path(config.paths.features))
    stored = f"{workload.images - missing:,} of {workload.images:,} images are stored already"
    if not missing:
        return Check(OK, "features", f"{stored}, each {form}")
    detail = f"{size(needed)} on disk for {missing:,} images, each {form}; {size(free)} free"
    if workload.stored:
        detail += f"; {stored}"
    if needed < free:
        return Check(OK, "features", detail)
    fix = f"set paths.features to a larger disk, or {NO_STORE}"
    smaller = missing * row_bytes(patches, vision.dim, "int8")
    if smaller < min(needed, free):
        fix = f"set data.dtype=int8 ({size(smaller)}); or {fix}"
    return Check(MISSING, "features", detail, fix)


def million_check(config: DictConfig, dry_run: DryRun, workload: Workload) -> Iterator[Check]:
    """Yield what a million images would take in each dtype, and which of these the disk holds.

    Yield nothing if none are kept, or if the data set has at most `LARGE` images and the disk holds their features.
    """
    vision = dry_run.vision
    if vision is None or workload.images is None or not _stores(config, dry_run):
        return
    patches, free = dry_run.patches(1), disk_free(Path(config.paths.features))
    if (
        workload.images <= LARGE
        and workload.images * row_bytes(patches, vision.dim, config.data.dtype) < free
    ):
        return
    needed = {dtype: MILLION * row_bytes(patches, vision.dim, dtype) for dtype in FORMS}
    detail = ", ".join(f"{size(number)} in {dtype}" for dtype, number in needed.items())
    fitting = [dtype for dtype, number in needed.items() if number < free]
    fits = f"data.dtype={fitting[0]} fits" if fitting else f"none fits: a larger disk, or {NO_STORE}"
    yield Check(NOTE, "a million images", f"{detail}; {size(free)} free", fits)


def stored_share(config: DictConfig, dry_run: DryRun, workload: Workload) -> float:
    """Return the share of a sample of the images whose features a store holds.

    The weights are not read here, so a store counts as the ViT's by its dtype and the shape of its rows.
    """
    if dry_run.vision is None or online(config) or not workload.image_hashes:
        return 0.0
    row, best = (dry_run.patches(1), dry_run.vision.dim), 0.0
    for folder in store_folders(Path(config.paths.features)):
        if folder.dtype == config.data.dtype:
            shards = [shard for shard in folder.new_shards() if tuple(shard.features.shape[1:]) == row]
            stored = {image for shard in shards for image in shard.images}
            found = sum(image in stored for image in workload.image_hashes)
            best = max(best, found / len(workload.image_hashes))
    return best


def online(config: DictConfig) -> bool:
    """Return whether images are encoded again each time."""
    return config.data.features == "online"


def _stores(config: DictConfig, dry_run: DryRun) -> bool:
    return dry_run.sees == "image" and not online(config)
