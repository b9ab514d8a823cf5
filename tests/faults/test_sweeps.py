"""Two sweeps that are started at once on one directory: each job is run by one of them."""

import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults
JOBS = [f"bridge={bridge},seed={seed}" for bridge in ("linear", "mlp") for seed in (0, 1)]


@pytest.fixture
def sweep(faulty, tmp_path):
    """Starts a sweep of four jobs, one at a time, in a folder of runs."""

    def begin(runs):
        own = [
            f"hydra.launcher.{key}"
            for key in ("command=[tiny_sweep]", "slots=1", "preload=[tiny_run,bridgelab.train.run]")
        ]
        swept = ["bridge=linear,mlp", "seed=0,1", f"paths.runs={runs}", "study=s"]
        same = "hydra.sweep.subdir='bridge=${hydra:runtime.choices.bridge},seed=${seed}'"
        return subprocess.Popen(
            [sys.executable, "-m", "tiny_sweep", "-m", *faulty.given, *swept, *own, same],
            env=faulty.environment | {"BRIDGELAB_DATA": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return begin


def test_two_sweeps_share_the_jobs(sweep, count, of_run, unlike, tmp_path):
    alone = sweep(tmp_path / "alone")
    out, _ = alone.communicate()
    assert alone.returncode == 0, out
    both = [sweep(tmp_path / "both") for _ in range(2)]
    for process in both:
        out, _ = process.communicate()
        assert process.returncode == 0 or "is being run by another process" in out, out
    last = sweep(tmp_path / "both")
    out, _ = last.communicate()
    assert last.returncode == 0, out
    for job in JOBS:
        log = (tmp_path / "both" / "s" / job / "log.txt").read_text()
        assert len(re.findall("config of ", log)) == 1, f"{job} was run twice"
        assert unlike(of_run(tmp_path / "both" / "s" / job), of_run(tmp_path / "alone" / "s" / job)) == []
    count("two sweeps at once", "jobs, each run once", len(JOBS))
    count("ended equal to the uninterrupted", "runs", len(JOBS))


def test_a_sweep_whose_launcher_is_killed_is_taken_up_by_the_next(sweep, count, of_run, unlike, tmp_path):
    """kill −9 of the launcher alone: its job lives on, and the next sweep does not run it a second time."""
    first = sweep(tmp_path / "runs")
    log = tmp_path / "runs" / "s" / JOBS[0] / "log.txt"
    while not log.exists() or "config of" not in log.read_text():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    count("kill −9", "in a sweep's launcher")
    again = sweep(tmp_path / "runs")
    again.communicate()
    last = sweep(tmp_path / "runs")
    out, _ = last.communicate()
    assert last.returncode == 0, out
    whole = sweep(tmp_path / "whole")
    whole.communicate()
    for job in JOBS:
        log = (tmp_path / "runs" / "s" / job / "log.txt").read_text()
        assert len(re.findall("config of ", log)) == 1, f"{job} was run twice"
        assert unlike(of_run(tmp_path / "runs" / "s" / job), of_run(tmp_path / "whole" / "s" / job)) == []
    count("restarts", "of sweeps")
    count("ended equal to the uninterrupted", "runs", len(JOBS))
