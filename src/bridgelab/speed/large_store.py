"""A feature store of many synthetic images, made and read by the code that a run uses: time, disk and memory, in a process of its own.

`python -m bridgelab.speed.large_store 100000 int8 FOLDER` prints one row as JSON, and leaves the images and the store in FOLDER.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.features.memory_mapped import MappedFeatures
from bridgelab.speed.store import ROW, TRAINED, process_memory, reset_peak_memory

IMAGES = (10_000, 100_000)
DTYPE = "int8"
LARGE_COLUMNS = (
    "images", "type", "MB on disk", "made s", "made MB", "opened s", "opened MB", "read s", "read MB", "kept bytes an image",
)  # fmt: skip


class Synthetic:
    """An encoder without weights: fixed noise, shifted by the colour of the image, so that every image has features of its own."""

    fingerprint = "synthetic"

    def __init__(self, patches: int, dim: int):
        self.dim = dim
        self.noise = torch.randn(2, patches, dim, generator=torch.Generator().manual_seed(0))

    def pixels(self, images: Tensor) -> Tensor:
        """Return the mean colours of images, [batch, channel], from 0 to 1."""
        return images.float().flatten(1, 2).mean(1) / 255

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features [batch, patch, dim] of colours [batch, channel]."""
        weight = pixels @ torch.tensor([1.0, 0.1, 0.01])
        return self.noise[0] + weight[:, None, None] * self.noise[1]


def write_images(folder: Path, number: int) -> list[str]:
    """Write images of one pixel, each of another colour, and return their paths."""
    folder.mkdir(parents=True)
    paths = [folder / f"{k}.ppm" for k in range(number)]
    for k, path in enumerate(paths):
        path.write_bytes(b"P6 1 1 255\n" + k.to_bytes(3, "little"))
    return [str(path) for path in paths]


def large_store_row(number: int, dtype: str, folder: Path) -> list[str] | None:
    """Return a row under `LARGE_COLUMNS`, or None if the system does not tell a process's memory.

    MB of a step are what the process grew at most while it was made (all images encoded), opened (all checksums compared by
    another `FeatureStore`) or read (all rows in random order, batch by batch), pages of files included. What is kept at the end
    grows with the number of images: their paths and places.

    Args:
        number: of images.
        dtype: in which they are stored.
        folder: for the images and the store.
    """
    paths = write_images(folder / "images", number)
    if (before := process_memory()) is None:
        return None
    encoder = Synthetic(*ROW)
    stores: list[FeatureStore] = []
    found: list[MappedFeatures] = []

    def request() -> None:
        stores.append(FeatureStore(folder / "store", encoder, dtype=dtype))
        found.append(stores[-1].features(paths))

    def read() -> None:
        order = np.random.default_rng(0).permutation(number)
        for first in range(0, number, TRAINED):
            found[-1].get(order[first : first + TRAINED])

    cells = []
    for step in (request, request, read):
        del stores[:], found[:-1]
        cells += _measured(step)
    size = sum(path.stat().st_size for path in (folder / "store").rglob("*.safetensors"))
    after = process_memory() or before
    kept = (after["RssAnon"] - before["RssAnon"]) / number
    return [f"{number:,}", dtype, f"{size / 1e6:.0f}", *cells, f"{kept:.0f}"]


def in_process(number: int, dtype: str, folder: Path) -> list[str] | None:
    """Return `large_store_row` of a process of its own, which has no memory of other measurements to reuse."""
    command = [sys.executable, "-m", "bridgelab.speed.large_store", str(number), dtype, str(folder)]
    return json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    )


def _measured(step: Callable[[], None]) -> list[str]:
    """Return the seconds of a step, and the MB that the process grew in it at most."""
    before = process_memory() or {}
    reset_peak_memory()
    began = time.perf_counter()
    step()
    seconds = time.perf_counter() - began
    after = process_memory() or before
    return [f"{seconds:.1f}", f"{(after['VmHWM'] - before['VmRSS']) / 1e6:.0f}"]


if __name__ == "__main__":
    row = large_store_row(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    sys.stdout.write(json.dumps(row) + "\n")
