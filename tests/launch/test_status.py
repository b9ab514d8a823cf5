import fcntl
import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from bridgelab.cli import main as cli
from bridgelab.launch.planned_steps import Work
from bridgelab.launch.status import study_status
from bridgelab.launch.sweep_plan import LOCK, Planned, read_plan, write_plan
from bridgelab.printable import printable
from bridgelab.runs.locks import locked, shared_lock
from bridgelab.runs.record_schema import Malformed
from bridgelab.runs.repeat_command import keep_overrides, what_is_missing
from bridgelab.runs.steps_done import StepsDone, read_steps_done
from bridgelab.runs.sweep import ADDING

NOW = datetime(2026, 11, 29, 12, 0, 0).timestamp()
LOGGED = "[2026-11-29 11:59:{},000][bridgelab.training.main][INFO] - {}\n"


@pytest.fixture
def study(tmp_path):
    """Six planned runs: two done, one running, one failed, one stopped, one waiting."""
    folder = tmp_path / "runs" / "s"
    names = [f"bridge={bridge},seed={seed}" for bridge in ("linear", "mlp") for seed in range(3)]
    for name in names[:5]:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.yaml").write_text("seed: 0\n")
        (folder / name / "lock").touch()
        (folder / name / "train.log").write_text(
            LOGGED.format("00", "the config of it is in its config.yaml") + LOGGED.format("30", "step 3 of 9")
        )
    for name, seconds in zip(names[:2], (100.0, 200.0), strict=True):
        record = {"bridge": "linear", "costs": {"wall_seconds": seconds}, "metrics": {"test/accuracy": 0.75}}
        (folder / name / "metrics.json").write_text(json.dumps(record))
    with (folder / names[3] / "train.log").open("a") as file:
        file.write('Traceback (most recent call last):\n  File "a.py", line 1\nOSError: the disk is full\n')
    (folder / names[4] / "metrics.csv").write_text("step,loss\n10,1.0\n20,0.5\n")
    write_plan([Planned(folder / name) for name in names])
    with (folder / names[2] / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder


def test_each_state_is_told_with_its_reason(study):
    found = study_status(study, now=NOW)
    assert [run.state for run in found.runs] == ["done", "done", "running", "failed", "stopped", "waiting"]
    assert found.counts == {"done": 2, "running": 1, "failed": 1, "stopped": 1, "waiting": 1}
    first, _, running, failed, stopped, waiting = found.runs
    assert (first.seconds, first.accuracy) == (100.0, 0.75)
    # 150 less 60.
    assert (running.seconds, running.seconds_left, running.detail) == (60.0, 90.0, "step 3 of 9")
    assert failed.detail == "OSError: the disk is full"
    assert stopped.detail == "last logged at step 20"
    assert waiting.name == "bridge=mlp,seed=2"
    assert found.seconds_left == 90.0 + 150.0  # one at a time


def test_the_time_left_counts_steps_where_they_are_planned(study):
    """Two of three runs of linear are done, of which the first searched; the third has trained 100 of 300 steps."""
    plan = {
        f"bridge={bridge},seed={seed}": Work(bridge, trained=300, searched=450)
        for bridge in ("linear", "mlp")
        for seed in range(3)
    }
    write_plan([Planned(study / name, work=work) for name, work in plan.items()])
    for name, wall in (("bridge=linear,seed=0", 320.0), ("bridge=linear,seed=1", 140.0)):
        path = study / name / "metrics.json"
        record = json.loads(path.read_text())
        record["costs"] = {"wall_seconds": wall, "train_seconds": 120.0}
        path.write_text(json.dumps(record))
    running = study / "bridge=linear,seed=2"
    StepsDone(step=100, steps=300, trained=100, timed=100, seconds=40.0).write(running)
    found = study_status(study, now=NOW)
    one = found.runs[2]
    assert one.seconds_left == pytest.approx(200 * 0.4 + 20.0)  # its steps, and what a run takes beside them
    assert one.detail == "step 100/300"
    # One mlp waits: taken for as slow as linear, with a search of its own.
    assert found.seconds_left == pytest.approx(one.seconds_left + 300 * 0.4 + 20.0 + 450 * 0.4)
    assert [job.work.as_work() for job in read_plan(study).jobs] == [*plan.values()]


def test_a_sweep_that_runs_resumes_what_had_stopped_or_failed_before_it(study):
    with shared_lock(study / LOCK):
        for name in ("log.txt", "train.log"):
            for path in study.glob(f"*/{name}"):
                os.utime(path, (NOW - 60, NOW - 60))
        os.utime(study / "sweep.json", (NOW, NOW))
        assert study_status(study, now=NOW).seconds_left == 90.0 + 3 * 150.0
        failed = study / "bridge=mlp,seed=0" / "train.log"
        os.utime(failed, (NOW + 60, NOW + 60))  # in this sweep, which tries no job again
        assert study_status(study, now=NOW).seconds_left == 90.0 + 2 * 150.0


def test_to_look_takes_no_lock(study):
    """A run that starts at the same moment must get its lock."""
    free = study / "bridge=mlp,seed=1" / "lock"
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    with free.open("a") as other:
        study_status(study, now=NOW)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_jobs_on_slurm_are_looked_up_in_its_queue(study):
    names = [f"bridge=mlp,seed={seed}" for seed in range(4)]
    write_plan([Planned(study / name, f"7_{k}") for k, name in enumerate(names)])
    queue = {"7_1": "RUNNING", "7_2": "PENDING", "7_9": "RUNNING"}
    found = {run.name: run for run in study_status(study, now=NOW, queue=lambda: queue).runs}
    assert [found[name].state for name in names] == ["failed", "running", "waiting", "waiting"]
    assert found[names[1]].seconds_left == 90.0  # no mlp is done: as long as the others took
    assert found[names[2]].detail == "job 7_2 is pending in Slurm's queue"
    assert [job.slurm_job for job in read_plan(study).jobs] == [None, None, None, "7_0", "7_1", "7_2", "7_3"]

    def busy():
        raise RuntimeError("squeue: the controller is busy")

    assert {run.state for run in study_status(study, now=NOW, queue=busy).runs} >= {"stopped", "waiting"}


def test_jobs_in_the_queue_are_not_to_be_submitted_again(study, capsys, monkeypatch):
    (study / "multirun.yaml").write_text("hydra: {overrides: {task: [experiments=s]}}\n")
    write_plan([Planned(study / f"bridge=mlp,seed={seed}", f"7_{seed}") for seed in range(4)])
    (study / "bridge=linear,seed=2" / "lock").unlink()  # nothing runs here
    told = {}
    for name, queue in (("waiting", {"7_1": "PENDING", "7_9": "PENDING"}), ("empty", {})):
        monkeypatch.setattr("bridgelab.launch.status._queue", lambda _, queue=queue: queue)
        cli.main(["status", str(study)])
        told[name] = capsys.readouterr().out
    assert "Slurm's queue holds 1 job of the study." in told["waiting"]
    assert "To do what is missing" not in told["waiting"]
    assert "To do what is missing: bridgelab train experiments=s" in told["empty"]


def test_a_study_without_a_plan_is_read_from_its_sweep(study):
    (study / "sweep.json").unlink()
    (study / "multirun.yaml").write_text(
        'hydra: {sweeper: {params: {bridge: "linear,mlp"}}, overrides: {task: [experiments=s, "seed=0,1,2"]}}\n'
    )
    found = study_status(study, now=NOW)
    assert len(found.runs) == 6
    assert (found.runs[-1].name, found.runs[-1].state) == ("bridge=mlp,seed=2", "waiting")
    assert found.again == "bridgelab train experiments=s seed=0,1,2"
    # The place is in no run's name.
    (study / "multirun.yaml").write_text(
        'hydra: {overrides: {task: ["bridge=linear,mlp", "seed=0,1", study=s, "paths.runs=elsewhere"]}}\n'
    )
    found = study_status(study, now=NOW)
    assert [run.name for run in found.runs] == [path.name for path in sorted(study.glob("bridge=*"))]


def test_a_sweep_that_runs_is_not_to_be_started_again(study, capsys):
    (study / "multirun.yaml").write_text("hydra: {overrides: {task: [experiments=s]}}\n")
    write_plan([Planned(study / name) for name in ("bridge=a", "bridge=b")])
    (study / "bridge=linear,seed=2" / "lock").unlink()  # no run is held, as while the launcher imports
    assert study_status(study, now=NOW).sweep is None
    cli.main(["status", str(study)])
    assert "To do what is missing: bridgelab train experiments=s" in capsys.readouterr().out
    with shared_lock(study / LOCK), shared_lock(study / LOCK):  # two sweeps may fill a study together
        assert study_status(study, now=NOW).sweep == os.getpid()
        cli.main(["status", str(study)])
        told = capsys.readouterr().out
        assert f"A sweep is running (pid {os.getpid()}): loading torch" in told
        assert "To do" not in told
        with (study / "bridge=mlp,seed=1" / "lock").open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (study / "bridge=mlp,seed=1" / "train.log").write_text(
                LOGGED.format("59", "drawing train: 1,200 of 3,500, 9.8 images/s, 9 s left")
            )
            cli.main(["status", str(study)])
        assert f"(pid {os.getpid()}): drawing train: 1,200 of 3,500\n" in capsys.readouterr().out


def test_an_added_row_is_called_by_its_class_and_done_by_study_add(tmp_path, capsys):
    study = tmp_path / "s"
    name = "+bridge.width=32,bridge._target_=mine.Bridge,bridge=linear,seed={}"
    study.mkdir()
    (study / "multirun.yaml").write_text(
        'hydra: {sweeper: {params: {bridge: "linear,mlp"}}, overrides: {task: [experiments=s]}}\n'
    )
    write_plan([Planned(study / name.format(seed)) for seed in (0, 1)])
    cli.main(["status", str(study)])
    told = capsys.readouterr().out
    assert re.search(r"^ *bridge=mine\.Bridge,seed=0 +waiting", told, re.MULTILINE)
    assert f"bridgelab study {study} --add +bridge.width=32 bridge._target_=mine.Bridge\n" in told


def test_a_run_of_an_earlier_sweep_is_done_by_its_own_command(study):
    failed = "bridge=mlp,seed=0"
    keep_overrides(study / failed, ["study=s", "bridge=mlp", "seed=0"])
    sweep = "hydra: {{overrides: {{task: [study=s, 'bridge=linear,mlp', 'seed={}']}}}}\n"
    (study / "multirun.yaml").write_text(sweep.format("3,4"))  # more seeds
    assert what_is_missing(study, [failed]) == "bridgelab train study=s bridge=mlp seed=0"
    waiting = "bridge=mlp,seed=2"
    assert what_is_missing(study, [waiting]) == "bridgelab train study=s bridge=mlp seed=2"
    assert what_is_missing(study, [failed, "bridge=mlp,seed=3"]).endswith(
        "-m study=s bridge=linear,mlp seed=3,4"
    )
    long = f"bridge=mlp,seed=3,train.lr=...{'0a' * 8}"  # shortened, so that its last value can't be compared
    (study / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['bridge=linear,mlp', seed=3, train.lr=0.001]}}"
    )
    assert what_is_missing(study, [long]) == "bridgelab train -m bridge=linear,mlp seed=3 train.lr=0.001"
    added = f"bridgelab study {study} --add bridge=qformer"
    assert what_is_missing(study, ["bridge=qformer,seed=0"]) == added


def test_jobs_of_an_ended_sweep_that_were_not_begun_wait_for_nobody(study):
    begun, typo = "bridge=linear,seed=0", "bridge=linear,seed=0,train.steps=4"

    def names():
        return [job.name for job in read_plan(study).jobs]

    write_plan([Planned(study / typo)])
    assert "bridge=mlp,seed=2" not in names()  # the fixture's, which no folder has
    with shared_lock(study / LOCK):  # of this process
        write_plan([Planned(study / begun)])
    assert typo not in names()
    assert names()[-1] == begun
    assert "waiting" not in {run.state for run in study_status(study, now=NOW).runs}
    write_plan([Planned(study / typo)])
    with subprocess.Popen(
        ["flock", "--shared", study / LOCK, "sh", "-c", "echo; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        write_plan([Planned(study / begun)])  # of a second sweep beside the other
        other.communicate()
    assert typo in names()
    (study / "multirun.study.yaml").touch()
    with locked(study / ADDING):
        write_plan(
            [Planned(study / "bridge=qformer,seed=0")]
        )  # a row, beside which the study's own jobs stay due
    assert typo in names()


def test_broken_files_are_told(study, tmp_path):
    (study / "bridge=linear,seed=0" / "metrics.json").write_text("{")
    broken = study_status(study, now=NOW).runs[0]
    assert (broken.state, broken.detail[:24]) == ("failed", "its record can't be read")
    (study / "sweep.json").write_text('{"jobs": [{"name": 3}]}')
    with pytest.raises(
        Malformed, match=r"sweep\.json holds jobs\.0\.name=3: .* Delete it: the next sweep writes a new one"
    ):
        study_status(study)
    work = {"search": "mlp", "trained": 3, "searched": 1}
    later = {"jobs": [{"name": "bridge=linear,seed=2", "work": work | {"of_a_later_version": 1}}]}
    (study / "sweep.json").write_text(json.dumps(later))
    assert study_status(study, now=NOW).counts["running"] == 1
    (study / "sweep.json").write_text(json.dumps(later).replace(": 3", ": Infinity"))
    with pytest.raises(Malformed, match=r"jobs\.0\.work\.trained=inf: .*less than or equal to"):
        study_status(study)
    for content in ('{"step": null}', '{"seconds": "x"}', '{"timed": NaN}', '{"label": 3}', "[]"):
        (study / "bridge=linear,seed=2" / "progress.json").write_text(content)
        assert read_steps_done(study / "bridge=linear,seed=2") is None
    write_plan([Planned(study / "bridge=mlp,seed=1")])
    assert [job.name for job in read_plan(study).jobs] == ["bridge=mlp,seed=1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no run\. Train into it: bridgelab train study=empty"):
        study_status(tmp_path / "empty")


def test_a_run_in_place_of_a_study_is_told_with_its_study(study, monkeypatch):
    run = study / "bridge=linear,seed=0"
    for place, folder in ((run, study), (Path("s") / run.name, "s"), (Path("."), study)):
        monkeypatch.chdir(run if place == Path(".") else study.parent)
        told = f"{place} is a run of the study s. How far that is: bridgelab status {folder}"
        with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
            study_status(place)


def test_the_command_prints_a_table_or_json(study, capsys, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert cli.main(["status", str(study)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "s: 2 done, 1 running, 1 failed, 1 stopped, 1 waiting of 6 runs; about 4 min 0 s left\n"
    )
    assert re.search("bridge=mlp,seed=0 +failed", told)
    assert "OSError: the disk is full" in told
    assert cli.main(["status", str(study), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["done"], content["seconds_left"], len(content["runs"])) == (2, 240.0, 6)
    assert content["runs"][2]["state"] == "running"


def test_a_terminal_that_cannot_write_a_curve_shows_question_marks(study):
    running = study / "bridge=linear,seed=2"
    StepsDone(step=100, steps=300, trained=100, timed=100, seconds=40.0).write(running)
    (running / "metrics.csv").write_text("step,val/accuracy\n50,0.25\n100,0.5\n")
    done = subprocess.run(
        [sys.executable, "-m", "bridgelab.cli", "status", str(study)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "step 100/300, val 50 % ??" in done.stdout


def test_names_of_foreign_runs_do_not_steer_the_terminal(study, capsys):
    """A folder that somebody else made may have any name; bytes that are not UTF-8 could not be printed at all."""
    (study / "bridge=mlp,seed=1").rename(study / "bridge=\x1b[2J\x9bA,seed=1")
    os.rename(os.fsencode(study / "bridge=mlp,seed=0"), os.fsencode(study) + b"/bridge=m\xff,seed=0")
    write_plan([Planned(study / "bridge=\x1b]0;title,seed=7")])
    assert cli.main(["status", str(study)]) == 0
    told = capsys.readouterr().out
    assert told == "\n".join(map(printable, told.split("\n")))
    assert "bridge=�[2J" in told
    assert cli.main(["status", str(study), "--json"]) == 0
    told = capsys.readouterr().out
    assert told == "\n".join(map(printable, told.split("\n")))
    names = {run["name"] for run in json.loads(told)["runs"]}
    assert {"bridge=\x1b[2J\x9bA,seed=1", "bridge=m\udcff,seed=0", "bridge=\x1b]0;title,seed=7"} <= names


def test_a_plan_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "s").write_text("a file in the place of the folder")
    write_plan([Planned(tmp_path / "s" / "bridge=mlp")])
    assert os.listdir(tmp_path) == ["s"]
