"""The feature store: a frozen encoder sees each image once, and its patch features stay on disk."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bridgelab.data.images import file_hashes, read_image


class Encoder(Protocol):
    """The part of a frozen encoder that the store needs."""

    dim: int
    fingerprint: str

    def patches(self, images: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3] -> [batch, patch, dim]."""
        ...


class FeatureStore:
    """Patch features of a list of images, [image, patch, dim] in float16, memory-mapped.

    The folder's name is the encoder's fingerprint and the hash of the images' contents, so another encoder or
    another image means another folder. It is written aside and renamed, under a lock: of two jobs one writes
    and the other waits, and a killed one leaves nothing that looks finished.

    Args:
        root: folder of all stores.
        encoder: the frozen encoder.
        images: paths of images; their order is the order of rows.
        batch_size: images an encoder sees at once.
    Raises:
        ValueError: if an image is broken, or a feature is not finite in float16.
        FileNotFoundError: if an image is missing.
    """

    def __init__(self, root: Path, encoder: Encoder, images: Sequence[str], *, batch_size: int = 64):
        if not images:
            raise ValueError(
                "0 images were given: a feature store holds at least 1. Check the benchmark's split."
            )
        self.images = list(images)
        hashes = file_hashes(self.images)
        self.key = hashlib.sha256("\n".join([encoder.fingerprint, *hashes]).encode()).hexdigest()
        self.folder = Path(root) / encoder.fingerprint[:16] / self.key[:16]
        with locked(self.folder.with_suffix(".lock")):
            if not (self.folder / "index.json").exists():
                self._write(encoder, hashes, batch_size)
        index = json.loads((self.folder / "index.json").read_text())
        if index["key"] != self.key:
            raise ValueError(f"{self.folder} has the key {index['key']}, not {self.key}. Delete that folder.")
        self.array = np.load(self.folder / "features.npy", mmap_mode="r")
        self.mean, self.std = torch.tensor(index["mean"]), torch.tensor(index["std"])

    def __len__(self) -> int:
        return len(self.images)

    def get(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Features of the images in these rows, float16 [row, patch, dim]."""
        return torch.from_numpy(self.array[np.asarray(rows)])

    def _write(self, encoder: Encoder, hashes: list[str], batch_size: int) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=self.folder.name + "."))
        try:
            array = None
            total = squares = torch.zeros((), dtype=torch.float64)
            for first, batch in self._batches(batch_size):
                with torch.inference_mode():
                    patches = encoder.patches(batch).float().cpu()
                if array is None:
                    shape = (len(self.images), *patches.shape[1:])
                    array = np.lib.format.open_memmap(aside / "features.npy", "w+", np.float16, shape)
                half = patches.half()
                if not bool(half.isfinite().all()):
                    worst = float(patches.abs().max())
                    raise ValueError(
                        f"a feature of {self.images[first]} or the {len(batch) - 1} images after it is "
                        f"{worst:g}: it must be finite and below 65504 in float16. Set another "
                        "vision.layer, or vision.final_norm=true."
                    )
                array[first : first + len(batch)] = half.numpy()
                total = total + patches.double().sum((0, 1))
                squares = squares + patches.double().square().sum((0, 1))
            assert array is not None
            array.flush()
            count = array.shape[0] * array.shape[1]
            mean = total / count
            std = (squares / count - mean**2).clamp_min(0).sqrt()
            index = {
                "key": self.key,
                "fingerprint": encoder.fingerprint,
                "mean": mean.tolist(),
                "std": std.tolist(),
                "images": hashes,
            }
            (aside / "index.json").write_text(json.dumps(index))
            shutil.rmtree(self.folder, ignore_errors=True)  # what a crash between rename and now can't leave
            os.rename(aside, self.folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _batches(self, batch_size: int) -> Iterator[tuple[int, Tensor]]:
        """Runs of images of one size, with the row of the first."""
        first = 0
        waiting: list[np.ndarray] = []
        for row, path in enumerate(self.images):
            image = read_image(path)
            if waiting and (len(waiting) == batch_size or image.shape != waiting[0].shape):
                yield first, torch.from_numpy(np.stack(waiting))
                first, waiting = row, []
            waiting.append(image)
        yield first, torch.from_numpy(np.stack(waiting))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock; the kernel lets go of it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
