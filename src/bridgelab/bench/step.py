"""A training step of each bridge: in training, in a bare loop, and beside its own matrix products.

A step is timed twice over the same batches: as `bridgelab train` runs it, and in a bare loop of forward, backward and
optimizer. What training adds is overhead, to be kept under a twentieth. The bare step in its turn stands beside its own
matrix products, run again by themselves, and what fills the difference.
"""

import statistics
import time
from collections.abc import Iterator
from itertools import pairwise

import torch
from omegaconf import DictConfig

from bridgelab.bench.floor import filling, products_of
from bridgelab.data.batches import Batch, TrainingBatches
from bridgelab.model import BridgedModel
from bridgelab.train.build import build
from bridgelab.train.evaluate import on_device
from bridgelab.train.module import parameter_groups
from bridgelab.train.setting import Setting

STEPS = 20
WARM_UP = 4  # first steps, in which kernels are chosen and memory is taken
FILLING = ("products", "copies", "operations", "between")
STEP_HEADS = ("bridge", "parameters", "tokens", "bare ms", "training ms", "overhead")
FLOOR_HEADS = ("bridge", "bare ms", "products ms", "ratio", *FILLING)


class Timed(TrainingBatches):
    """Training batches that note when each was asked for."""

    def __iter__(self) -> Iterator[Batch]:
        self.asked = []
        for batch in super().__iter__():
            self.asked.append(time.perf_counter())
            yield batch
        self.asked.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median step after the first few."""
        return statistics.median(b - a for a, b in pairwise(self.asked[WARM_UP:]))


def bare_step(model: BridgedModel, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """Forward, backward and optimizer, and nothing around them."""
    optimizer.zero_grad()
    model(batch).backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.bridge.parameters() if p.requires_grad], 1.0)
    optimizer.step()


def floor_row(config: DictConfig, device: str) -> list[str] | None:
    """What follows a bridge's name under `FLOOR_HEADS`, of one batch's step; None where nothing is trained."""
    setting = Setting(config, device)
    model = setting.model(0)
    if not any(p.requires_grad for p in model.bridge.parameters()):
        return None
    batches = setting.batches(1, 0)
    setting.calibrate(model, batches)
    optimizer = build(config.optim)(parameter_groups(model), lr=1e-4)
    batch = on_device(next(iter(batches)), model)

    def step() -> None:
        bare_step(model, optimizer, batch)

    again = products_of(step)
    bare: list[float] = []
    products: list[float] = []
    for _ in range(STEPS):  # in turn, so that what else runs here slows both alike
        for taken, call in ((bare, step), (products, again)):
            began = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
    whole, alone = (statistics.median(taken[WARM_UP:]) for taken in (bare, products))
    shares = filling(step)
    return [
        f"{1e3 * whole:.0f}",
        f"{1e3 * alone:.0f}",
        f"{whole / alone:.2f}",
        *(f"{shares[kind]:.0%}" for kind in FILLING),
    ]


def step_row(config: DictConfig, device: str) -> list[str] | None:
    """What follows a bridge's name under `STEP_HEADS`; None where nothing is trained."""
    setting = Setting(config, device)
    model = setting.model(0)
    trained = [p for p in model.bridge.parameters() if p.requires_grad]
    if not trained:
        return None  # plain words have nothing to train
    made = setting.batches(STEPS, 0)
    bare, training = (Timed(made.sampler, made.pools) for _ in range(2))
    setting.calibrate(model, made)
    optimizer = build(config.optim)(parameter_groups(model), lr=1e-4)
    for batch in bare:
        batch = on_device(batch, model)
        bare_step(model, optimizer, batch)
    tokens = model.prefix(batch).shape[1]
    training.sampler = setting.batches(STEPS, 0).sampler
    setting.fit(model, training, lr=1e-4, alone=True, identity={}, validate=None)
    return [
        f"{sum(p.numel() for p in trained):,}",
        str(tokens),
        f"{1e3 * bare.seconds:.0f}",
        f"{1e3 * training.seconds:.0f}",
        f"{training.seconds / bare.seconds - 1:+.1%}",
    ]
