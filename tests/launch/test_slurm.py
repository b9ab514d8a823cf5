import os
import signal
import time
from io import StringIO

import pytest
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from rich.console import Console

from bridgelab.launch import requeued as requeued_jobs
from bridgelab.launch import slurm as queue
from bridgelab.launch import sweep_check
from bridgelab.launch.job import Job
from bridgelab.launch.planned_steps import Work
from bridgelab.launch.sweep_check import SweepJob
from bridgelab.launch.sweep_plan import Planned, read_plan, write_plan
from bridgelab.runs.steps_done import StepsDone
from hydra_plugins.bridgelab_slurm import SlurmLauncher, shape


def test_jobs_are_waited_for_until_they_leave_the_queue(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(queue, "FILE_DELAY", 0.05)
    folders = {name: tmp_path / name for name in ("1_0", "1_1", "1_2", "1_3")}
    for folder in folders.values():
        folder.mkdir()
    logs = {name: tmp_path / f"{name}.log" for name in folders}
    logs["1_1"].write_text("began\n\nKilled [red]\n")
    logs["1_3"].write_text("Traceback (most recent call last):\n  File 'x'\nOSError: no disk\nbye\n")
    seen = []

    def look():
        seen.append(1)
        if len(seen) == 2:
            raise RuntimeError("squeue: the controller is busy")
        if len(seen) == 3:
            (folders["1_0"] / "metrics.json").touch()
            return {"1_1": "RUNNING", "1_2": "PENDING", "9": "RUNNING"}
        if len(seen) < 5:
            return {"1_1": "RUNNING", "1_2": "RUNNING"} | ({"1_0": "RUNNING"} if len(seen) == 1 else {})
        if len(seen) == 6:  # written late, on a disk that shows it later still
            (folders["1_2"] / "metrics.json").touch()
        return {}

    jobs = {name: Job(folder, ()) for name, folder in folders.items()}
    failed = queue.wait(jobs, logs, "metrics.json", look)
    why = "ended without writing metrics.json"
    assert sorted(failed) == [
        f"  1_1 (job 1_1) {why}; see {tmp_path}/1_1.log",
        f"  1_3 (job 1_3) {why}: OSError: no disk; see {tmp_path}/1_3.log",
    ]
    out = capsys.readouterr().out
    assert "1/4  1_0" in out
    assert "the controller is busy; asking again" in out
    assert "    Killed [red]" in out  # not taken as markup


@pytest.mark.parametrize("launcher", [True, False])
def test_a_run_without_progress_is_requeued_once_at_its_time_limit(tmp_path, monkeypatch, launcher):
    """By the launcher, or by sbatch: preempted ever so often; at the limit again after each checkpoint, trial or shard of features."""
    run, features, requeued = tmp_path / "study" / "run", tmp_path / "features", []
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(requeued_jobs, "_attempts", [])
    monkeypatch.setattr(queue, "requeue", lambda: requeued.append(1))
    for name, value in {"ID": "7", "START_TIME": "1000", "END_TIME": "1600"}.items():
        monkeypatch.setenv(f"SLURM_JOB_{name}", value)
    submitted = SlurmLauncher(finished="", submitit_folder="", timeout_min=10)

    def attempt(seconds, *written):
        """Warned after so many seconds, in which these files were written."""
        requeued_jobs.begin_attempt(run, features)
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        now[0] += seconds
        if launcher:
            submitted.checkpoint()
        else:
            with pytest.raises(SystemExit):
                queue._requeue(signal.SIGUSR1, None)

    run.mkdir(parents=True)
    for _ in range(3):
        attempt(100)
    attempt(500)
    attempt(500, run.parent / "tune" / "x" / "lr=1.json")
    attempt(500, features / "a-b-c" / "0.safetensors")
    attempt(500, run / "metrics.csv", run / "last.ckpt")
    attempt(500, run / "budgets" / "10" / "last.ckpt")
    attempt(100)
    with pytest.raises(
        RuntimeError, match=r"limit of 10 minutes twice .* Raise hydra\.launcher\.timeout_min"
    ):
        attempt(500)
    assert len(requeued) == (0 if launcher else 9)
    monkeypatch.setenv("SLURM_JOB_ID", "8")  # submitted again
    attempt(500)
    requeued_jobs.end_attempt()
    assert not (run / "requeued.json").exists()


def test_a_job_that_was_queued_again_took_as_long_as_its_last_attempt(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    job = Job(tmp_path / "bridge=linear", (), Work("linear", trained=100, searched=0))
    watch = queue._Watch({"1_0": job}, {}, "metrics.json")
    for now[0], state in ((0.0, "RUNNING"), (50.0, "PENDING"), (36000.0, "RUNNING"), (36100.0, "COMPLETING")):
        watch.collect({"1_0": state})
    job.folder.mkdir()
    (job.folder / "metrics.json").touch()
    watch.collect({})
    assert watch.progress.estimate.durations == {job.name: 100.0}


def test_jobs_that_are_still_in_the_queue_are_followed_and_not_submitted_again(tmp_path, monkeypatch, capsys):
    study = tmp_path / "study"
    folders = [study / f"seed={seed}" for seed in range(4)]
    for folder in folders:
        folder.mkdir(parents=True)
    (folders[0] / "metrics.json").touch()
    write_plan([Planned(folder, f"7_{k}") for k, folder in enumerate(folders)])
    squeue = tmp_path / "squeue"
    squeue.write_text(
        "#!/bin/sh\necho '7_0 COMPLETING'\necho '7_1 PENDING'\necho '7_2 RUNNING'\necho '9 RUNNING'\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    config = OmegaConf.create({"trainer": {"accelerator": "cpu"}, "hydra": {"sweep": {"dir": str(study)}}})
    jobs = [SweepJob(k, (), config, folder) for k, folder in enumerate(folders)]
    monkeypatch.setattr(sweep_check, "sweep_jobs", lambda *_: jobs)
    submitted, followed = [], {}

    def submit(launcher, shape, new, *notes):
        submitted.extend(job.folder for job in new)
        launcher._follow("8_0", new[0].folder, *notes)

    def wait(queued, logs, _):
        followed.update({id: (job.folder, logs[id].name) for id, job in queued.items()})
        return ["  as if one had failed"]

    monkeypatch.setattr(SlurmLauncher, "_submit", submit)
    monkeypatch.setattr(queue, "wait", wait)
    launcher = SlurmLauncher(finished="metrics.json", submitit_folder=str(study / "%j"))
    launcher.setup(hydra_context=config, task_function=None, config=config)
    (study / "multirun.yaml").write_text("as Hydra writes it between setup and launch")
    with pytest.raises(CompactHydraException, match="1 of 4 jobs failed"):
        launcher.launch([[]] * 4, 0)
    assert (study / "multirun.yaml").exists()
    assert submitted == [folders[3]]
    assert followed == {
        "7_1": (folders[1], "7_1_0_log.err"),
        "7_2": (folders[2], "7_2_0_log.err"),
        "8_0": (folders[3], "8_0_0_log.err"),
    }
    assert [job.slurm_job for job in read_plan(study).jobs] == [None, "7_1", "7_2", "8_0"]
    assert "2 of 4 jobs are in Slurm's queue already" in capsys.readouterr().out
    squeue.write_text("#!/bin/sh\necho busy >&2\nexit 1\n")  # better not submitted than submitted twice
    with pytest.raises(CompactHydraException, match=r"squeue .*: busy"):
        launcher.launch([[]] * 4, 0)
    assert not (study / "multirun.yaml").exists()  # as before this sweep, which was refused


def test_nothing_to_wait_for():
    assert queue.wait({}, {}, "metrics.json", lambda: {}) == []


def test_the_view_shows_what_each_job_does_and_the_time_left(tmp_path, monkeypatch):
    work = Work("linear", trained=100, searched=0)
    jobs = {f"1_{seed}": Job(tmp_path / f"bridge=linear,seed={seed}", (), work) for seed in range(3)}
    for job in jobs.values():
        job.folder.mkdir()
    StepsDone(step=40, steps=100, trained=40, timed=40, seconds=10.0).write(jobs["1_0"].folder)
    (jobs["1_0"].folder / "metrics.csv").write_text("step,val/accuracy\n40,0.5\n")
    out = StringIO()
    monkeypatch.setattr(queue, "get_console", lambda: Console(file=out, width=100))
    watch = queue._Watch(jobs, {}, "metrics.json")
    seen = {"1_0": "RUNNING", "1_1": "PENDING", "1_2": "PENDING"}
    watch.collect(seen)
    console = Console(file=StringIO(), width=100)
    console.print(watch.view(seen))
    first, _, grid, *_ = console.file.getvalue().splitlines()
    # 60 steps of a quarter of a second, two waiting jobs of 25 s, and a quarter of all three runs' steps beside them.
    assert first.startswith("0 done, 0 failed, 1 running, 2 waiting, about 1 min 24 s left")
    assert grid.split() == ["linear", "step", "40/100,", "val", "50", "%", "▅", "·", "·"]
    assert out.getvalue() == ""
    monkeypatch.setattr(queue, "PRINT_SECONDS", -1.0)
    watch.view(seen)
    assert out.getvalue().startswith("0 done, 0 failed, 1 running, 2 waiting, about 1 min 24 s left")


@pytest.mark.parametrize(
    ("key", "value"), [("accelerator", "auto"), ("devices", "auto"), ("devices", -1), ("num_nodes", 0)]
)
def test_what_slurm_is_asked_for_is_written_out(key, value):
    given = {"accelerator": "gpu", "devices": 2, "num_nodes": 1}
    assert shape(OmegaConf.create({"trainer": given})) == (1, 2, 2)
    with pytest.raises(
        ValueError, match=rf"^trainer\.{key}={value}: on Slurm it must be .* Set trainer\.{key}"
    ):
        shape(OmegaConf.create({"trainer": given | {key: value}}))
