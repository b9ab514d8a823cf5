"""`bridgelab bench`: its tables, one after another."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from bridgelab.config.instantiate import target
from bridgelab.config.root import config_root
from bridgelab.console import get_console
from bridgelab.device import local_device
from bridgelab.evaluation.bridge_table import PUBLISHED
from bridgelab.report.formats.terminal import plain_table
from bridgelab.speed.alignment import ALIGNMENT_COLUMNS, alignment_rows
from bridgelab.speed.components import IMAGES, components
from bridgelab.speed.large_store import DTYPE, LARGE_COLUMNS, in_process
from bridgelab.speed.large_store import IMAGES as LARGE
from bridgelab.speed.likelihood import LIKELIHOOD_COLUMNS, QUESTIONS, likelihood_row
from bridgelab.speed.records import RECORDS_COLUMNS, records_row
from bridgelab.speed.reference import COLUMNS, reference_row, speed_cases
from bridgelab.speed.startup import START_COLUMNS, SWEEP_COLUMNS, start_rows, sweep_row
from bridgelab.speed.step import MATMUL_COLUMNS, STEP_COLUMNS, matmul_row, step_row
from bridgelab.speed.store import (
    EPOCH_COLUMNS,
    MEMORY_COLUMNS,
    READ_COLUMNS,
    SIZES,
    epoch_row,
    memory_row,
    read_rows,
    write_store,
)
from bridgelab.speed.t5_encoder import ENCODER_COLUMNS, encoder_row
from bridgelab.speed.world import WORLD_COLUMNS, world_row

SMALL_WORLD = (
    f"benchmark.images={{train:{IMAGES},val:8,test:8}}",
    "train.stages=[{share:1.0,answer:1.0}]",
    "train.val_limit={answer:1,caption:1}",
)
# Overrides for the step that is compared with transformers' encoder.
ENCODER = ("text=miniature_prose", "train.batch_size=16", "trainer=cpu")
ENCODED = ("linear", "qformer")  # bridges of 64 tokens and of 16


def bench() -> None:
    """Measure, and print each table as soon as it is measured."""
    disable_progress_bar()  # of weights that are loaded
    logging.disable(logging.WARNING)  # else Lightning lists its devices at every bridge
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    conf = config_root() / "conf"
    console = get_console()
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf), version_base="1.3"):
        names = [path.stem for path in sorted((conf / "bridge").glob("*.yaml")) if PUBLISHED not in path.stem]
        for table in tables(Path(folder), names):
            console.print(table)


def tables(folder: Path, bridges: Sequence[str]) -> Iterator[Table]:
    """Yield all tables.

    Args:
        folder: for worlds, features, records and logs.
        bridges: to time a training step of.
    """
    device = local_device().type
    machine = f"{device}, {torch.get_num_threads()} threads"
    small = [*SMALL_WORLD, f"benchmark.root={folder}/world", f"paths.features={folder}/features"]
    own = [*small, f"trainer={'gpu' if device == 'cuda' else 'cpu'}"]
    linear = compose("train", [*own, "bridge=linear"])
    yield components(compose("train", own), device)
    yield from of_whole_runs(folder)
    yield from of_the_store(folder)
    yield plain_table(
        f"a training epoch on {IMAGES} images, {machine}",
        EPOCH_COLUMNS,
        [["linear", *epoch_row(linear, device)]],
    )
    yield plain_table(
        f"{QUESTIONS} questions answered by likelihood, {machine}",
        LIKELIHOOD_COLUMNS,
        [["linear", *likelihood_row(linear, device)]],
    )
    yield plain_table(
        f"forward and backward beside the reference classes, {machine}",
        COLUMNS,
        (reference_row(case, device) for case in speed_cases(device)),
    )
    title = f"an alignment's step beside one made of the transformers classes, in float32, {machine}"
    yield plain_table(title, ALIGNMENT_COLUMNS, alignment_rows(device))
    trained = {name: compose("train", [*small, *ENCODER, f"bridge={name}"]) for name in ENCODED}
    yield plain_table(
        "a trained bridge's step at batch 16 with a T5 that has read prose, beside transformers' encoder, on the CPU",
        ENCODER_COLUMNS,
        ([name, *encoder_row(config)] for name, config in trained.items()),
    )
    configs = {name: config_of(name, own) for name in bridges}
    # A bridge that starts from weights takes the steps of the one that does not.
    configs = {name: config for name, config in configs.items() if not config.bridge.init_from}
    yield _of_bridges(f"a training step, {machine}", STEP_COLUMNS, configs, step_row, device)
    title = f"a bare step beside its matrix products alone, {machine}"
    yield _of_bridges(title, MATMUL_COLUMNS, configs, matmul_row, device)


def config_of(bridge: str, overrides: Sequence[str]) -> DictConfig:
    """Return a run's config with a bridge, and with a class token if the bridge reads it."""
    config = compose("train", [*overrides, f"bridge={bridge}"])
    if getattr(target(config.bridge, "bridge"), "needs_cls", False):
        return compose("train", [*overrides, f"bridge={bridge}", "vision.cls=true"])
    return config


def of_whole_runs(folder: Path) -> Iterator[Table]:
    """Yield the tables on starting, sweeping, drawing the default world and reading a large study."""
    yield plain_table("what it takes to begin", START_COLUMNS, start_rows(folder))
    title = "a sweep of short jobs in the pool, and the same commands by hand, on the CPU"
    yield plain_table(title, SWEEP_COLUMNS, [sweep_row(folder / "sweep")])
    world = world_row(compose("train"), folder / "default")
    yield plain_table("the default world made from scratch, once", WORLD_COLUMNS, [world])
    title = "a large study's records, read and put in tables, then the accuracies' intervals"
    yield plain_table(title, RECORDS_COLUMNS, [records_row(folder / "records")])
    shutil.rmtree(folder / "records")


def of_the_store(folder: Path) -> Iterator[Table]:
    """Yield the tables on the feature store: its reads, its reader's memory with a small and a large store, and one of 100,000 images."""
    memory = []
    for times, files in SIZES.items():
        noise = folder / f"noise{times}"
        store = write_store(noise, files)
        memory.append(memory_row(times, store, noise))
    yield plain_table("the feature store's reads", READ_COLUMNS, read_rows(store, noise))  # of the larger one
    yield plain_table("its reader's memory", MEMORY_COLUMNS, filter(None, memory))
    shutil.rmtree(noise)
    rows = []
    for number in LARGE:
        rows.append(in_process(number, DTYPE, folder / "large"))
        shutil.rmtree(folder / "large")
    title = "a store of synthetic images, made, opened and read as a run does, and what the process grew in each of these at most"
    yield plain_table(title, LARGE_COLUMNS, filter(None, rows))


def _of_bridges(
    title: str,
    heads: Sequence[str],
    bridges: dict[str, DictConfig],
    measure: Callable[[DictConfig, str], list[str] | None],
    device: str,
) -> Table:
    """Return a table of the bridges that have a row: those that are trained."""
    rows = ((name, measure(config, device)) for name, config in bridges.items())
    return plain_table(title, heads, ([name, *row] for name, row in rows if row))
