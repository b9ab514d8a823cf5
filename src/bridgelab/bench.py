"""How fast the parts are on this machine: renderer, encoder, and a training step of every bridge.

A step is timed twice over the same batches: in training as `bridgelab train` runs it, and in a bare loop of
forward, backward and optimizer. What training adds is overhead, to be kept under a twentieth. The bare step in its turn
stands beside its own matrix products, run again by themselves, and what fills the difference.
"""

import logging
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from bridgelab.data.batches import Batch, TrainingBatches
from bridgelab.model import BridgedModel
from bridgelab.train.evaluate import on_device
from bridgelab.train.floor import filling, products_of
from bridgelab.train.main import Setting, build
from bridgelab.train.module import parameter_groups
from bridgelab.world.question import Balance, questions
from bridgelab.world.render import render, sample_visible_scene
from bridgelab.world.write import scene_record

STEPS = 20
WARM_UP = 4  # first steps, in which kernels are chosen and memory is taken
IMAGES = 64
FILLING = ("products", "copies", "operations", "between")
SMALL_WORLD = (
    f"benchmark.images={{train:{IMAGES},val:8,test:8}}",
    "train.stages=[{share:1.0,answer:1.0}]",
    "train.val_limit={answer:1,caption:1}",
)


def bench() -> None:
    """Measure, and print two tables."""
    logging.disable(logging.WARNING)  # Lightning tells of its devices at every bridge
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    conf = Path(os.environ["BRIDGELAB_ROOT"]) / "conf"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    console = Console()
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf), version_base="1.3"):
        own = [*SMALL_WORLD, f"benchmark.root={folder}/world", f"paths.features={folder}/features"]
        own.append(f"trainer={'gpu' if device == 'cuda' else 'cpu'}")
        console.print(_parts(compose("train", own), device))
        table = Table(title=f"a training step, {torch.get_num_threads()} threads, {device}")
        for column in ("bridge", "parameters", "tokens", "bare ms", "training ms", "overhead"):
            table.add_column(column, justify="left" if column == "bridge" else "right")
        for path in sorted((conf / "bridge").glob("*.yaml")):
            config = compose("train", [*own, f"bridge={path.stem}"])
            if row := _step(config, device):
                table.add_row(path.stem, *row)
        console.print(table)
        floors = Table(title=f"a bare step beside its matrix products alone, {device}")
        for column in ("bridge", "bare ms", "products ms", "ratio", *FILLING):
            floors.add_column(column, justify="left" if column == "bridge" else "right")
        for path in sorted((conf / "bridge").glob("*.yaml")):
            if row := _floor(compose("train", [*own, f"bridge={path.stem}"]), device):
                floors.add_row(path.stem, *row)
        console.print(floors)


def _parts(config: DictConfig, device: str) -> Table:
    rng = np.random.default_rng(0)
    scenes = [sample_visible_scene(rng, image_index=index) for index in range(IMAGES)]
    images = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
    vision = build(config.vision).to(device)
    command = [sys.executable, "-m", "bridgelab.cli", "--help"]
    table = Table(title="parts")
    table.add_column("what")
    table.add_column("figure", justify="right")
    started = _seconds(lambda: subprocess.run(command, capture_output=True, check=True))
    table.add_row("bridgelab --help", f"{started:.2f} s")
    drawn = _seconds(lambda: [render(scene) for scene in scenes])
    table.add_row("renderer, one core", f"{IMAGES / drawn:.0f} images/s")
    sampled = _seconds(lambda: [sample_visible_scene(rng, image_index=0) for _ in range(IMAGES)])
    table.add_row("scenes with every object in view, one core", f"{IMAGES / sampled:.0f} scenes/s")
    encoded = _seconds(lambda: vision.patches(images).cpu())
    table.add_row(f"frozen encoder, {device}", f"{IMAGES / encoded:.0f} images/s")
    records = [scene_record(scene, "val") for scene in scenes]
    draw = random.Random(0)
    asked = _seconds(lambda: [questions(record, draw, Balance()) for record in records])
    table.add_row("questions with programs, one core", f"{10 * IMAGES / asked:.0f} questions/s")
    return table


def _seconds(call: Callable[[], object], times: int = 5) -> float:
    """The best of some calls, after one that warms up: what else runs on the machine only ever adds."""
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


class _Timed(TrainingBatches):
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


def _bare(model: BridgedModel, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad()
    model(batch).backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.bridge.parameters() if p.requires_grad], 1.0)
    optimizer.step()


def _floor(config: DictConfig, device: str) -> list[str] | None:
    """One batch's step, its products alone, how many times as long the step takes, and what fills it."""
    setting = Setting(config, device)
    model = setting.model(0)
    if not any(p.requires_grad for p in model.bridge.parameters()):
        return None
    batches = setting.batches(1, 0)
    setting.calibrate(model, batches)
    optimizer = build(config.optim)(parameter_groups(model), lr=1e-4)
    batch = on_device(next(iter(batches)), model)

    def step() -> None:
        _bare(model, optimizer, batch)

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


def _step(config: DictConfig, device: str) -> list[str] | None:
    setting = Setting(config, device)
    model = setting.model(0)
    trained = [p for p in model.bridge.parameters() if p.requires_grad]
    if not trained:
        return None  # plain words have nothing to train
    made = setting.batches(STEPS, 0)
    bare, training = (_Timed(made.sampler, made.pools) for _ in range(2))
    setting.calibrate(model, made)
    optimizer = build(config.optim)(parameter_groups(model), lr=1e-4)
    for batch in bare:
        batch = on_device(batch, model)
        _bare(model, optimizer, batch)
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
