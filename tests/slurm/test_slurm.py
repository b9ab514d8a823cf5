"""Sweeps, two nodes, preemption and a killed job on a real Slurm; `make test-slurm` runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

pytestmark = pytest.mark.slurm
SLURM = "hydra/launcher=slurm"


def ended(process, seconds=400):
    out, _ = process.communicate(timeout=seconds)
    sys.stdout.write(out)  # shown where a test fails
    return out


def run_of(study):
    """The folder of a study's only run; None where it has not begun."""
    return next((path.parent for path in study.glob("*/config.yaml")), None)


def weights(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def predictions(folder):
    return pd.read_parquet(folder / "predictions.parquet").set_index(["kind", "view", "id"]).sort_index()


def test_a_sweep_reports_what_fails_and_goes_on_from_there(train, cluster, ask, until, tmp_path):
    sweep = ("-m", SLURM, "train.steps=4", "bridge=linear,mlp")
    refused = train(*sweep, "+bridge.nonsense=1", "study=refused")  # nothing is submitted
    assert "bridge.nonsense: there is no such key" in ended(refused)
    broken = train(*sweep, "benchmark.root=/proc/nowhere", "study=broken")
    out = ended(broken)
    assert broken.returncode == 1
    assert "2 of 2 jobs failed:" in out
    assert "/proc/nowhere" in out  # the last words of each
    whole = train(*sweep, "study=s")
    out = ended(whole)
    assert whole.returncode == 0
    assert "2 jobs of 1 × 1 tasks" in out
    assert "jobs   2, in Slurm's queue: " in out
    assert "logs   runs/s/*/train.log" in out
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs/s").glob("*/metrics.json")]
    assert {record["bridge"] for record in records} == {"linear", "mlp"}
    again = train(*sweep, "study=s", "hydra.launcher.partition=nowhere")  # nothing is submitted
    assert "2 of 2 jobs are finished already" in ended(again)
    assert again.returncode == 0
    assert "COMPLETED" in ask("sacct", "-n", "-X", "-o", "State")  # there is accounting


def test_two_nodes_train_what_one_process_trains(train, tmp_path):
    two = ("trainer.num_nodes=2", "trainer.devices=1", "trainer.strategy=ddp")
    common = ("bridge=qformer", "train.steps=4", "train.log_every=1")
    alone = train("study=one", *common)
    ended(alone)
    assert alone.returncode == 0
    by_launcher = train("-m", SLURM, "study=two", *common, *two)
    out = ended(by_launcher)
    assert by_launcher.returncode == 0
    assert "1 job of 2 × 1 tasks" in out
    by_srun = train("study=srun", *common, *two,
                    before=("srun", "-N2", "--ntasks-per-node=1"))  # fmt: skip
    ended(by_srun)
    assert by_srun.returncode == 0
    one = run_of(tmp_path / "runs/one")
    for study in ("two", "srun"):
        other = run_of(tmp_path / f"runs/{study}")
        assert json.loads((other / "metrics.json").read_text())["examples_seen"] == 16
        # All weights together: a bias of keys has no gradient, and AdamW makes steps of its noise.
        a, b = (torch.cat([value.flatten() for value in weights(folder).values()]) for folder in (one, other))
        assert (a - b).norm() < 1e-3 * a.norm()
        losses = [pd.read_csv(folder / "metrics.csv")["train/loss"].dropna() for folder in (one, other)]
        assert len(losses[0]) == 4
        assert losses[1].to_numpy() == pytest.approx(losses[0].to_numpy(), rel=1e-3)
        ours, theirs = predictions(other), predictions(one)
        assert list(ours.index) == list(theirs.index)
        assert (
            ours["prediction"] == theirs["prediction"]
        ).mean() > 0.9  # ties of a model of four steps may fall otherwise
        torch.testing.assert_close(
            torch.tensor(ours["likelihood"].to_numpy()),
            torch.tensor(theirs["likelihood"].to_numpy()),
            rtol=1e-3,
            atol=1e-3,
        )


def test_a_preempted_job_is_queued_again_and_ends_the_same(train, cluster, ask, until, tmp_path):
    choices = ("bridge=linear", "train.steps=60", "train.save_every=1000", "train.log_every=1")
    whole = train("study=whole", *choices)
    ended(whole)
    assert whole.returncode == 0
    cut = train("-m", SLURM, "study=cut", *choices)
    folder = until("the folder", lambda: run_of(tmp_path / "runs/cut"), 120)
    log = folder / "metrics.csv"
    until("step 10", lambda: log.exists() and log.read_text().count("\n") > 10, 120)
    (job,) = ask("squeue", "-h", "--array", "-o", "%i").split()
    subprocess.run(["scancel", "--signal=USR2", job], check=True, env=cluster)
    assert until("queued again", lambda: "Restarts=1" in ask("scontrol", "show", "job", job), 60)
    at = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
    assert 10 <= at < 60
    out = ended(cut)
    assert cut.returncode == 0, out
    other = run_of(tmp_path / "runs/whole")
    assert all(torch.equal(weights(folder)[name], value) for name, value in weights(other).items())
    pd.testing.assert_frame_equal(predictions(folder), predictions(other))
    assert (folder / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def test_a_job_that_is_killed_is_reported(train, cluster, ask, until, tmp_path):
    sweep = train("-m", SLURM, "study=killed", "bridge=linear", "train.steps=100000")
    folder = until("the folder", lambda: run_of(tmp_path / "runs/killed"), 120)
    until("its training", lambda: (folder / "metrics.csv").exists(), 120)
    (job,) = ask("squeue", "-h", "--array", "-o", "%i").split()
    subprocess.run(["scancel", "--signal=KILL", job], check=True, env=cluster)
    out = ended(sweep)
    assert sweep.returncode == 1
    assert f"(job {job}) ended without writing metrics.json" in out


def test_a_single_job_that_is_warned_while_it_imports_is_queued_again(train, cluster, ask, until, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/sh\nexec srun "$@"\n')
    submitted = train("study=early", "bridge=linear", "train.steps=4",
                      before=("sbatch", "--parsable", "--requeue", f"--output={tmp_path}/out.txt", str(script)))  # fmt: skip
    job = ended(submitted).strip()
    until("its start", lambda: "RUNNING" in ask("squeue", "-h", "-o", "%T", "-j", job))
    time.sleep(2.0)  # it imports for ten seconds
    subprocess.run(["scancel", "--signal=USR1", job], check=True, env=cluster)
    until("queued again", lambda: "Restarts=1" in ask("scontrol", "show", "job", job), 60)
    until("its end", lambda: list((tmp_path / "runs/early").glob("*/metrics.json")), 200)


def test_a_sweep_that_is_left_says_how_to_end_its_jobs(train, cluster, ask, until, tmp_path):
    sweep = train("-m", SLURM, "study=left", "bridge=linear", "train.steps=100000")
    until("its training", lambda: list((tmp_path / "runs/left").glob("*/metrics.csv")), 120)
    os.kill(sweep.pid, signal.SIGINT)
    out = ended(sweep, 60)
    assert sweep.returncode == 130
    (job,) = ask("squeue", "-h", "-o", "%F").split()
    assert f"scancel {job}" in out
    subprocess.run(["scancel", job], check=True, env=cluster)
    until("an empty queue", lambda: not ask("squeue", "-h"), 60)
