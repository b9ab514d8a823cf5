"""Two sweeps that are started at once on one directory: each job is run by one of them."""

import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def sweep(faulty, tmp_path):
    """Starts a sweep of four jobs, one at a time, in a folder of runs."""

    def begin(runs):
        own = [
            f"hydra.launcher.{key}"
            for key in ("command=[tiny_sweep]", "slots=1", "preload=[tiny_run,bridgelab.training.run]")
        ]
        swept = ["bridge=linear,mlp", "seed=0,1", f"paths.runs={runs}", "study=s"]
        return subprocess.Popen(
            [sys.executable, "-m", "tiny_sweep", "-m", *faulty.given, *swept, *own],
            env=faulty.environment | {"BRIDGELAB_DATA": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return begin


@pytest.fixture
def each_ran_once(count, of_run, unlike):
    """Hold a study's four jobs against those of one that nothing befell."""

    def check(study, undisturbed):
        jobs = [path.parent for path in study.glob("*/metrics.json")]
        assert len(jobs) == 4
        for job in jobs:
            assert len(re.findall("config of ", (job / "log.txt").read_text())) == 1, f"{job} was run twice"
            assert unlike(of_run(job), of_run(undisturbed / job.name)) == []
        count("ended equal to the uninterrupted", "runs", len(jobs))

    return check


def done(process):
    out, _ = process.communicate()
    assert process.returncode == 0, out


def test_two_sweeps_share_the_jobs_and_a_killed_ones_are_taken_up(sweep, count, each_ran_once, tmp_path):
    done(sweep(tmp_path / "alone"))
    both = [sweep(tmp_path / "both") for _ in range(2)]
    for process in both:
        done(process)
    each_ran_once(tmp_path / "both" / "s", tmp_path / "alone" / "s")
    count("two sweeps at once", "jobs, each run once", 4)

    first = sweep(tmp_path / "left")
    while not any("config of" in log.read_text() for log in tmp_path.glob("left/s/*/log.txt")):
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)  # the launcher alone: its job lives on, and is not run a second time
    first.communicate()
    count("kill −9", "in a sweep's launcher")
    done(sweep(tmp_path / "left"))
    each_ran_once(tmp_path / "left" / "s", tmp_path / "alone" / "s")
    count("restarts", "of sweeps")
