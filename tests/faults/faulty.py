"""A run, a feature build or a report that ends at a chosen moment: `python -m faulty JSON`, forked by `conftest.py`.

The moment is a point of the process's CPU time, at which the kernel itself sends SIGKILL, or one of its operations on files:
SIGKILL comes before it or, where it opens a file to write, when the file is there and empty.
"""

import ctypes
import functools
import json
import os
import signal
import sys
import time
from pathlib import Path

from tiny_run import build_tiny, run

from bridgelab.benchmark.world import World
from bridgelab.data.features import feature_source as feature_builds
from bridgelab.data.features import feature_store as features
from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.runs import locks as claims
from bridgelab.training import run as runs
from bridgelab.training import train_bridge
from bridgelab.training.callbacks.last_checkpoint import LastCheckpoint
from bridgelab.training.experiment import Experiment

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.copyfile")
CPU_CLOCK = 2  # CLOCK_PROCESS_CPUTIME_ID
PHASES = (
    (World, "make", "world"),
    (FeatureStore, "features", "feature build"),
    (train_bridge, "learning_rate", "search"),
    (Experiment, "fit", "train"),
    (LastCheckpoint, "save", "checkpoint"),
    (runs, "predict_views", "evaluation"),
    (runs, "write_predictions", "record"),
    (runs, "write_json", "record"),
)


class Watch:
    """What the process is at, and what it has done to files; `told` is read when it has ended, however it did.

    Args:
        root: files elsewhere don't count.
        told: a file that holds the phase's name.
        operation: which one it does not survive, from 1.
        torn: an opened file is there, and empty.
    """

    def __init__(self, root, told, operation=None, torn=False):
        self.root, self.operation, self.torn = root, operation, torn
        self.told = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.done, self.phase = [], ""
        self.enter("start")
        for owner, name, phase in PHASES:
            setattr(owner, name, self.marked(getattr(owner, name), phase))
        sys.addaudithook(self.heard)

    def enter(self, phase):
        self.phase = phase
        os.pwrite(self.told, phase.ljust(20).encode(), 0)

    def marked(self, call, phase):
        @functools.wraps(call)
        def inside(*args, **kwargs):
            before = self.phase
            # A trial of the search trains too; it is told as the search that it is part of.
            self.enter(before if (before, phase) == ("search", "train") else phase)
            found = call(*args, **kwargs)
            self.enter(before)  # but where it fails, the phase stays
            return found

        return inside

    def heard(self, event, args):
        if event not in OPERATIONS or not str(args[0]).startswith(self.root):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        self.done.append(self.phase)
        if len(self.done) == self.operation:
            if self.torn and event == "open" and args[2] & (os.O_TRUNC | os.O_EXCL):
                Path(args[0]).touch()
                os.truncate(args[0], 0)
            os.kill(os.getpid(), signal.SIGKILL)


def end_at(seconds):
    """Have the kernel send SIGKILL once the process has computed for so long."""

    class Event(ctypes.Structure):
        _fields_ = (("value", ctypes.c_void_p), ("number", ctypes.c_int), ("kind", ctypes.c_int), ("rest", ctypes.c_int * 12))  # fmt: skip

    libc, timer = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p()
    event = Event(None, signal.SIGKILL, 0)
    when = (ctypes.c_long * 4)(0, 0, int(seconds), int(seconds % 1 * 1e9))
    if libc.timer_create(CPU_CLOCK, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_settime(
        timer, 0, ctypes.byref(when), None
    ):
        raise OSError(ctypes.get_errno(), "no timer")


def main(what, folder, home, told, data=None, choices=(), operation=None, torn=False, cpu=None, clock=0.0):
    """Do it; what was done to files, by phase, and the CPU time stand in `<told>.json` if it comes to its end.

    Args:
        home: of the files that count, and of the world and the features where there is no `data`.
        clock: seconds by which `time.time` is off.
    """
    claims.GROUP = features.ROWS = 4
    os.environ["BRIDGELAB_DATA"] = data or home
    watch = Watch(home, told, operation, torn)
    if clock:
        now = time.time
        time.time = lambda: now() + clock
    if cpu is not None:
        end_at(cpu)
    if what == "run":
        run(folder, *choices)
    elif what == "features":
        from hydra import compose, initialize_config_dir

        feature_builds.build = build_tiny
        watch.enter("feature build")
        with initialize_config_dir(os.environ["BRIDGELAB_ROOT"] + "/conf", version_base="1.3"):
            feature_builds.build_features(compose("train", list(choices)), None, (0, 1))
    else:
        from bridgelab.report.write import report

        watch.enter("report")
        report(Path(folder))
    used = time.process_time()
    with open(f"{told}.json", "w") as file:
        json.dump({"operations": watch.done, "cpu": used}, file)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
