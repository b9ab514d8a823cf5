"""`bridgelab bench`: all tables, one after another."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from bridgelab.bench.likelihood import LIKELIHOOD_COLUMNS, QUESTIONS, likelihood_row
from bridgelab.bench.parts import IMAGES, parts
from bridgelab.bench.records import RECORDS_COLUMNS, records_row
from bridgelab.bench.reference import COLUMNS, contests, reference_row
from bridgelab.bench.start import START_COLUMNS, SWEEP_COLUMNS, start_rows, sweep_row
from bridgelab.bench.step import FLOOR_COLUMNS, STEP_COLUMNS, floor_row, step_row
from bridgelab.bench.store import (
    EPOCH_COLUMNS,
    MEMORY_COLUMNS,
    READ_COLUMNS,
    SIZES,
    epoch_row,
    memory_row,
    read_rows,
    write_store,
)
from bridgelab.bench.world import WORLD_COLUMNS, world_row
from bridgelab.config.root import config_root
from bridgelab.console import get_console
from bridgelab.device import local_device

SMALL_WORLD = (
    f"benchmark.images={{train:{IMAGES},val:8,test:8}}",
    "train.stages=[{share:1.0,answer:1.0}]",
    "train.val_limit={answer:1,caption:1}",
)


def bench() -> None:
    """Measure, and print a table as soon as it is measured."""
    disable_progress_bar()  # of weights that are loaded
    logging.disable(logging.WARNING)  # Lightning tells of its devices at every bridge
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    conf = config_root() / "conf"
    device = local_device().type
    console = get_console()
    told = f"{device}, {torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf), version_base="1.3"):
        own = [*SMALL_WORLD, f"benchmark.root={folder}/world", f"paths.features={folder}/features"]
        own.append(f"trainer={'gpu' if device == 'cuda' else 'cpu'}")
        console.print(parts(compose("train", own), device))
        begins = _table("what it takes to begin", START_COLUMNS)
        for begun in start_rows(Path(folder)):
            begins.add_row(*begun)
        console.print(begins)
        sweep = _table(
            "a sweep of short jobs in the pool, and the same commands by hand, on the CPU", SWEEP_COLUMNS
        )
        sweep.add_row(*sweep_row(Path(folder) / "sweep"))
        console.print(sweep)
        made = _table("the default world made from nothing, once", WORLD_COLUMNS)
        made.add_row(*world_row(compose("train"), Path(folder) / "default"))
        console.print(made)
        large = _table(
            "a large study's records, read and put in tables, then the accuracies' intervals", RECORDS_COLUMNS
        )
        large.add_row(*records_row(Path(folder) / "records"))
        console.print(large)
        shutil.rmtree(Path(folder) / "records")
        reads, memory = (
            _table("the feature store's reads", READ_COLUMNS),
            _table("its reader's memory", MEMORY_COLUMNS),
        )
        for times, files in SIZES.items():
            noise = Path(folder) / f"noise{times}"
            store = write_store(noise, files)
            if row := memory_row(times, store, noise):
                memory.add_row(*row)
        for row in read_rows(store, noise):  # of the larger one
            reads.add_row(*row)
        console.print(reads)
        console.print(memory)
        shutil.rmtree(noise)
        epochs = _table(f"a training epoch on {IMAGES} images, {told}", EPOCH_COLUMNS)
        epochs.add_row("linear", *epoch_row(compose("train", [*own, "bridge=linear"]), device))
        console.print(epochs)
        closed = _table(f"{QUESTIONS} questions answered by likelihood, {told}", LIKELIHOOD_COLUMNS)
        closed.add_row("linear", *likelihood_row(compose("train", [*own, "bridge=linear"]), device))
        console.print(closed)
        references = _table(f"forward and backward beside the transformers classes, {told}", COLUMNS)
        for contest in contests(device):
            references.add_row(*reference_row(contest, device))
        console.print(references)
        bridges = {
            path.stem: compose("train", [*own, f"bridge={path.stem}"])
            for path in sorted((conf / "bridge").glob("*.yaml"))
        }
        console.print(_of_bridges(f"a training step, {told}", STEP_COLUMNS, bridges, step_row, device))
        console.print(
            _of_bridges(
                f"a bare step beside its matrix products alone, {told}",
                FLOOR_COLUMNS,
                bridges,
                floor_row,
                device,
            )
        )


def _table(title: str, heads: Sequence[str]) -> Table:
    table = Table(title=title)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left")
    return table


def _of_bridges(
    title: str,
    heads: Sequence[str],
    bridges: dict[str, DictConfig],
    measure: Callable[[DictConfig, str], list[str] | None],
    device: str,
) -> Table:
    table = _table(title, heads)
    for name, config in bridges.items():
        if row := measure(config, device):
            table.add_row(name, *row)
    return table
