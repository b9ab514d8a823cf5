"""The feature store: its reads beside a plain read of the same files, its reader's memory, and an epoch beside one with the ViT.

Plain reads and the store's are timed in turn over the same files. The cache is cold if the system drops these files on request, which
is checked; otherwise reads come from memory, and the row says 'warm'.
"""

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from bridgelab.config.instantiate import build
from bridgelab.data.features.memory_mapped import MappedFeatures
from bridgelab.data.features.shard import Shard, write_shard
from bridgelab.evaluation.predict import on_device
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.speed.step import bare_step
from bridgelab.training.experiment import Experiment

ROW = (64, 160)  # patches and channels of the miniature, in bfloat16
ROWS = 1024  # of a file
BATCH = 256  # rows read at once; copying 64 of the miniature's small rows takes no longer than Python's call
SIZES = MappingProxyType({1: 3, 10: 30})  # relative size of a store -> number of its files
TRAINED = 64  # rows read at once for the memory rows: a training batch
TIMES = 3
TRIES = 10  # at dropping files from the cache
BLOCK = 2**20  # of a plain read
WARM_UP = 2  # steps
READ_COLUMNS = ("read", "cache", "GB/s", "of a plain read")
MEMORY_COLUMNS = ("store", "MB", "the reader's own memory, MB", "with pages of files mapped, MB")
MEMORY = ("RssAnon", "VmRSS", "VmHWM")
EPOCH_COLUMNS = ("bridge", "steps", "images a step", "from the store ms", "ViT each step ms", "ratio")


def write_store(folder: Path, files: int) -> MappedFeatures:
    """Write a store of noise, and return its reader."""
    rng = np.random.default_rng(0)
    places: dict[str, tuple[Shard, int]] = {}
    for number in range(files):
        bits = rng.integers(0, 2**14, (ROWS, *ROW), dtype=np.int16)  # finite as bfloat16
        moments = np.zeros((ROWS, ROW[1]), dtype=np.float32)
        images = [f"{number * ROWS + row:064x}" for row in range(ROWS)]
        path = write_shard(
            folder, encoder="noise", dtype="bfloat16", images=images, mean=moments, variance=moments, features=bits
        )  # fmt: skip
        shard = Shard(path)
        places |= {image: (shard, row) for row, image in enumerate(images)}
    return MappedFeatures(places, "bfloat16")


def read_rows(store: MappedFeatures, folder: Path) -> Iterator[list[str]]:
    """Yield rows under `READ_COLUMNS`.

    Args:
        store: that `write_store` wrote to `folder`.
    """
    paths = sorted(folder.glob("*.safetensors"))
    order = np.arange(len(store))
    of_shard = np.split(order, len(order) // ROWS)
    shuffled = random.Random(0).sample(of_shard, len(of_shard))
    reads: dict[str, Callable[[], object]] = {
        "plain, one file after the other": lambda: plain(paths),
        "store, in order": lambda: by_store(store, order),
        "store, its files in random order": lambda: by_store(store, np.concatenate(shuffled)),
        "store, rows in random order, as training does": lambda: by_store(
            store, np.random.default_rng(0).permutation(order)
        ),
    }
    rows = len(store) * np.prod(ROW) * 2  # bytes that the store reads, and the files' for the plain read
    sizes = dict.fromkeys(reads, rows) | {next(iter(reads)): sum(path.stat().st_size for path in paths)}
    for cold in (True, False):
        taken: dict[str, list[float]] = {name: [] for name in reads}
        was_cold = True
        for _ in range(TIMES):
            for name, read in reads.items():
                if cold:
                    was_cold &= drop(paths)
                else:
                    plain(paths)
                began = time.perf_counter()
                read()
                taken[name].append(time.perf_counter() - began)
        if cold and not was_cold:
            continue
        rates = {name: sizes[name] / statistics.median(times) / 1e9 for name, times in taken.items()}
        whole = next(iter(rates.values()))
        for name, rate in rates.items():
            yield [name, "cold" if cold else "warm", f"{rate:.2f}", f"{rate / whole:.0%}"]


def plain(paths: Sequence[Path]) -> None:
    """Read files from beginning to end."""
    block = bytearray(BLOCK)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(block):
                pass


def by_store(store: MappedFeatures, rows: np.ndarray) -> None:
    """Read rows batch by batch."""
    for first in range(0, len(rows), BATCH):
        store.get(rows[first : first + BATCH])


def drop(paths: Sequence[Path]) -> bool:
    """Drop files from the system's cache, and return whether they are gone."""
    for _ in range(TRIES):  # pages that are still being read ahead can't be dropped yet
        for path in paths:
            with open(path, "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if not any(map(_cached, paths)):
            return True
        time.sleep(0.1)
    return False


def _cached(path: Path) -> bool:
    """Return whether any of some bytes spread over a file is cached, or True if the system does not say."""
    with open(path, "rb", buffering=0) as file:
        for position in np.linspace(0, path.stat().st_size - 1, 16, dtype=int):
            try:
                os.preadv(file.fileno(), [bytearray(1)], int(position), os.RWF_NOWAIT)
                return True
            except BlockingIOError:  # it would have to be read
                continue
            except OSError:  # not supported here
                return True
    return False


def memory_row(times: int, store: MappedFeatures, folder: Path) -> list[str] | None:
    """Return a row under `MEMORY_COLUMNS`: the most that this process grew while it read all rows in random order."""
    before = process_memory()
    if before is None:
        return None
    reset_peak_memory()
    own = 0
    order = np.random.default_rng(0).permutation(len(store))
    for first in range(0, len(order), TRAINED):
        batch = store.get(order[first : first + TRAINED])
        own = max(own, (process_memory() or before)["RssAnon"] - before["RssAnon"])
        del batch
    mapped = (process_memory() or before)["VmHWM"] - before["VmRSS"]
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return [f"{times}×", f"{size / 1e6:.0f}", f"{own / 1e6:.0f}", f"{max(own, mapped) / 1e6:.0f}"]


def epoch_row(config: DictConfig, device: str) -> list[str]:
    """Return what follows a bridge's name under `EPOCH_COLUMNS`, from the same steps in turn."""
    steps = {}
    for source in ("store", "online"):
        own = OmegaConf.merge(config, {"data": {"features": source}})
        assert isinstance(own, DictConfig)
        experiment = Experiment.set_up(own, device)
        model = experiment.model(0)
        pool = max(map(len, experiment.data.pools.values()))
        batches = experiment.data.batches(WARM_UP + max(1, pool // config.train.batch_size), 0)
        experiment.init_output_scale(model, batches)
        optimizer = build(config.optim, "optim")(parameter_groups(model), lr=1e-4)
        steps[source] = (iter(batches), model, optimizer)
    taken: dict[str, list[float]] = {source: [] for source in steps}
    for _ in range(len(batches)):
        for source, (batch, model, optimizer) in steps.items():
            began = time.perf_counter()
            bare_step(model, optimizer, on_device(next(batch), model))
            if device == "cuda":
                torch.cuda.synchronize()
            taken[source].append(time.perf_counter() - began)
    stored, online = (1e3 * sum(times[WARM_UP:]) for times in taken.values())
    order = experiment.data.batches(len(batches), 0).sampler
    images = np.mean([len(np.unique(experiment.data.pools[step.pool].images[step.rows])) for step in order])
    return [
        str(len(batches) - WARM_UP),
        f"{images:.0f}",
        f"{stored:.0f}",
        f"{online:.0f}",
        f"{online / stored:.2f}",
    ]


def reset_peak_memory() -> None:
    """Have the system count the peak of this process's memory, VmHWM, from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def process_memory() -> dict[str, int] | None:
    """Return the bytes of this process by their names in /proc, or None if there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return {
        name: 1024 * int(line.split()[1]) for line in lines for name in MEMORY if line.startswith(f"{name}:")
    }
