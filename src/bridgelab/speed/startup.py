"""What it costs to begin: help, a composed config, a job's imports, and a sweep's jobs beside the same commands by hand."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omegaconf import OmegaConf

from bridgelab.config.root import config_root
from bridgelab.launch.fork_server import ForkServer
from bridgelab.launch.slots import slot_environments

START_COLUMNS = ("what begins", "seconds", "of which on a core")
SWEEP_COLUMNS = ("jobs", "by hand, s", "in the pool, s", "ratio")
REPETITIONS = 5
JOBS, SLOTS = 16, 2
# A job that does as little as possible, so that the launcher's share shows.
SHORT = (
    "trainer=cpu",
    "bridge=linear",
    "benchmark.images={train:16,val:4,test:4}",
    "benchmark.processes=1",
    "train.steps=2",
    "train.batch_size=4",
    "train.lr=0.01",
    "train.val_points=1",
    "evaluate.shuffled=false",
)
COMMAND = (sys.executable, "-m", "bridgelab.cli")


def start_rows(folder: Path) -> list[list[str]]:
    """Return rows under `START_COLUMNS`, each the median of some repetitions.

    Args:
        folder: for logs.
    """
    preload = _preloaded()
    commands = {
        "bridgelab --help": [*COMMAND, "--help"],
        "bridgelab train --cfg job": [*COMMAND, "train", "--cfg", "job"],
        "a job's imports, by themselves": [sys.executable, "-c", f"import {', '.join(preload)}"],
    }
    rows = [
        [
            name,
            *sorted((_timed(command) for _ in range(REPETITIONS)), key=lambda row: float(row[0]))[
                REPETITIONS // 2
            ],
        ]
        for name, command in commands.items()
    ]
    (environment,) = slot_environments(1, 1, 1, [{"accelerator": "cpu"}])
    forker = ForkServer(os.environ | environment, preload)
    taken = []
    with (folder / "log.txt").open("wb") as log:
        for _ in range(REPETITIONS + 1):  # the first waits for the imports
            began = time.perf_counter()
            forker.start(["bridgelab.cli", "--version"], log).wait()
            taken.append(time.perf_counter() - began)
    forker.close()
    return [*rows, ["a job forked in the pool, imports done", f"{statistics.median(taken[1:]):.2f}", "–"]]


def sweep_row(folder: Path) -> list[str]:
    """Return a row under `SWEEP_COLUMNS`: short jobs run by hand, as many at a time as the pool has slots, and in the pool.

    Args:
        folder: for the world, features and runs.
    """
    environments = slot_environments(SLOTS, 1, None, [{"accelerator": "cpu"}])
    places = (f"benchmark.root={folder}/world", f"paths.features={folder}/features")
    choices = (*SHORT, *places)

    def by_hand(seed: int) -> None:
        own = (f"paths.runs={folder}/by_hand", f"seed={seed}")
        _run([*COMMAND, "train", *choices, *own], os.environ | environments[0])

    by_hand(JOBS)  # draw the world and encode it, for both
    began = time.perf_counter()
    with ThreadPoolExecutor(SLOTS) as several:
        list(several.map(by_hand, range(JOBS)))
    by_hand_seconds = time.perf_counter() - began
    began = time.perf_counter()
    sweep = (f"hydra.launcher.slots={SLOTS}", f"paths.runs={folder}/pool", f"seed=range({JOBS})")
    _run([*COMMAND, "train", "-m", *choices, *sweep], dict(os.environ))
    pool_seconds = time.perf_counter() - began
    return [
        f"{JOBS}, {SLOTS} at a time",
        f"{by_hand_seconds:.0f}",
        f"{pool_seconds:.0f}",
        f"{pool_seconds / by_hand_seconds:.2f}",
    ]


def _preloaded() -> list[str]:
    conf = config_root() / "conf" / "hydra" / "launcher" / "pool.yaml"
    return list(OmegaConf.load(conf).preload)


def _timed(command: Sequence[str]) -> list[str]:
    """Return the seconds that a command takes, and those that it spends on a core."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit status {process.returncode}.")
    return [f"{time.perf_counter() - began:.2f}", f"{used.ru_utime + used.ru_stime:.2f}"]


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit status {done.returncode}:\n{done.stdout}")
