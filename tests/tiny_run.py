"""A run between two tiny frozen sides, as a program: `python -m tiny_run FOLDER PROCESSES key=value ...`, with tests/
on the path. Several processes are forked, so that what is imported is imported once."""

import os
import socket
import sys
from pathlib import Path

from conftest import TinyText, TinyVision
from hydra import compose, initialize_config_dir
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab import backbones as backbones
from bridgelab.config import instantiate as building
from bridgelab.training import main

CONF = Path(__file__).parents[1] / "conf"


def build_tiny(config, *args, **kwargs):
    """As `build`, but for both frozen sides."""
    if config._target_.startswith("bridgelab.text."):
        return TinyText()
    if config._target_.startswith("bridgelab.vision."):
        return TinyVision()
    return building.build(config, *args, **kwargs)


def run(folder, *choices):
    """One process's part of a run."""
    backbones.build = build_tiny
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", list(choices))
    named = dict(choice.split("=", 1) for choice in choices)
    main.run(config, Path(folder), bridge=named.get("bridge", "linear"))


def run_together(number, folder, *choices):
    """A run of several processes; returns whether all ended well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    others = []
    for rank in range(1, number):
        if not (pid := os.fork()):
            begin(rank, port, number, folder, *choices)
            os._exit(0)
        others.append(pid)
    begin(0, port, number, folder, *choices)
    return all(os.waitpid(pid, 0)[1] == 0 for pid in others)


def begin(rank, port, number, folder, *choices):
    """The process `rank` of some."""
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    rank_zero_only.rank = rank  # a process that is started finds it by itself
    run(folder, *choices, f"trainer.devices={number}", "trainer.strategy=ddp")


if __name__ == "__main__":
    folder, number, *choices = sys.argv[1:]
    if int(number) == 1:
        run(folder, *choices)
    elif not run_together(int(number), folder, *choices):
        sys.exit("another process failed")
