import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bridgelab.config.root import config_root
from bridgelab.launch.job import Job
from bridgelab.launch.pool import Stopped, run_pool
from bridgelab.launch.slots import available_cores
from bridgelab.runs.identity import config_hash
from hydra_plugins.bridgelab_pool import PoolLauncher

ROOT = Path(__file__).parents[2]

APP = """
import json, os, pathlib, time
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(cfg):
    config = HydraConfig.get()
    began = time.time()
    print("working on", cfg.number, flush=True)
    time.sleep(cfg.seconds)
    if cfg.number == cfg.broken:
        raise RuntimeError(f"number {cfg.number} is broken")
    record = {
        "number": cfg.number, "began": began, "ended": time.time(), "mode": config.mode.name,
        "name": config.job.override_dirname, "threads": os.environ["OMP_NUM_THREADS"],
        "rank": os.environ.get("LOCAL_RANK"), "pid": os.getpid(), "gpus": os.environ["CUDA_VISIBLE_DEVICES"],
    }
    (pathlib.Path(config.runtime.output_dir) / "metrics.json").write_text(json.dumps(record))

if __name__ == "__main__":
    main()
"""

CONF = f"""
defaults: [_self_, {{override hydra/launcher: pool}}]
number: 0
broken: -1
seconds: 0.3
study: tiny
hydra:
  searchpath: ["file://{ROOT}/conf"]
  launcher: {{command: [tiny_app], slots: 2, gpus_per_job: 1, preload: [json]}}
  run: {{dir: "runs/${{study}}/${{hydra.job.override_dirname}}"}}
  sweep: {{dir: "runs/${{study}}", subdir: "${{hydra.job.override_dirname}}"}}
  job: {{chdir: false, config: {{override_dirname: {{exclude_keys: [seconds, broken]}}}}}}
"""


@pytest.fixture
def app(tmp_path):
    """A Hydra app without torch, and a function that gives the process of a command line of it.

    A file in its working folder is named as a module that all of them import.
    """
    (tmp_path / "app" / "conf").mkdir(parents=True)
    (tmp_path / "app" / "tiny_app.py").write_text(APP)
    (tmp_path / "app" / "conf" / "app.yaml").write_text(CONF)
    (tmp_path / "json.py").write_text("raise SystemExit('the working folder came first')")

    def start(*args, gpus="", **how):
        path = os.pathsep.join([str(tmp_path / "app"), str(ROOT / "src")])
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tiny_app", *args],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": gpus},
            stderr=subprocess.STDOUT,
            text=True,
            **{"stdout": subprocess.PIPE} | how,
        )

    return start


def records(folder):
    return {
        path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/tiny/*/metrics.json")
    }


def test_sweep_survives_a_failure_and_goes_on_from_there(app, tmp_path):
    sweep = ["-m", "number=0,1,2,3", "seconds=1"]
    (tmp_path / "runs/tiny/number=2/config.hash").mkdir(parents=True)  # not a file: no concern of the others
    first = app(*sweep, "broken=1")
    out, _ = first.communicate(timeout=120)
    assert first.returncode == 1, out
    # The failure is shown when it happens, with the exception alone, and again at the end.
    assert re.search(
        r"number=1  failed with exit status 1:\n    RuntimeError: number 1 is broken\n    File .*tiny_app\.py\", line \d+, in main\n",
        out,
    )
    assert re.search(
        r"1 of 4 jobs failed:\n  number=1 failed with exit status 1: RuntimeError: number 1 is broken; "
        r"see runs/tiny/number=1/log.txt",
        out,
    )
    assert re.search(r"4/4  number=", out)

    done = records(tmp_path)
    assert set(done) == {"number=0", "number=2", "number=3"}
    for name, record in done.items():
        assert record["name"] == name
        assert record["mode"] == "RUN"
        assert record["rank"] is None
        assert record["threads"] == str(max(1, available_cores() // 2))
    assert len({record["pid"] for record in done.values()}) == 3
    spans = [(record["began"], record["ended"]) for record in done.values()]
    assert max(sum(began <= start < ended for began, ended in spans) for start, _ in spans) == 2
    assert "working on 2" in (tmp_path / "runs/tiny/number=2/log.txt").read_text()

    second = app(*sweep)
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0, out
    assert "3 of 4 jobs are finished already" in out
    again = records(tmp_path)
    assert set(again) == set(done) | {"number=1"}
    assert all(again[name] == record for name, record in done.items())


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_sweep_whose_output_is_a_file_prints_lines_and_draws_no_view(app, monkeypatch, variable):
    """Also where a variable asks for colours; the view would be written to the file twice a second."""
    monkeypatch.setenv(variable, "1")
    out, _ = app("-m", "number=0", "seconds=1.5").communicate(timeout=120)
    assert re.search(r"^0 done, 0 failed, 1 left", out, re.MULTILINE), out
    assert re.search(r"^1/1  number=0", out, re.MULTILINE), out
    assert "\x1b" not in out


def test_a_sweep_on_a_dumb_terminal_prints_lines(app, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    terminal, its_end = os.openpty()
    process = app("-m", "number=0", "seconds=1.5", stdout=its_end)
    assert process.wait(timeout=120) == 0
    os.close(its_end)
    out = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert "0 done, 0 failed, 1 left" in out
    assert "1/1  number=0" in out


def test_child_gets_hydra_overrides_and_config_of_the_parent(app, tmp_path):
    (tmp_path / "app" / "conf" / "other.yaml").write_text(CONF.replace("study: tiny", "study: other"))
    process = app("--config-name=other", "-m", "number=5,6", "hydra.job.name=renamed")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert sorted(path.name for path in tmp_path.glob("runs/other/*/renamed.log")) == ["renamed.log"] * 2

    for option, study in (("--config-path", "elsewhere"), ("--config-dir", "beside")):
        folder = tmp_path / study
        folder.mkdir()
        (folder / "own.yaml").write_text(CONF.replace("study: tiny", f"study: {study}"))
        process = app(f"{option}={folder}", "--config-name=own", "-m", "number=7,8")
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        assert len(list(tmp_path.glob(f"runs/{study}/*/metrics.json"))) == 2


def test_child_is_told_where_configs_are_unless_they_are_the_package_s():
    def told(*sources):
        found = [{"provider": provider, "schema": "file", "path": path} for provider, path in sources]
        launcher = PoolLauncher(command=[], finished="", slots=None, gpus_per_job=1, threads=None, preload=[])
        launcher.config = OmegaConf.create({"hydra": {"runtime": {"config_sources": found}}})
        return launcher._sources()

    own = ("main", str(config_root() / "conf"))
    assert told(("hydra", "hydra.conf"), own) == []
    assert told(own, ("command-line", "/a")) == ["--config-dir=/a"]
    assert told(("main", "/my/conf")) == ["--config-path=/my/conf"]


@pytest.mark.parametrize("name", [r"a=\"b\"", r"a=b\nc", "a=it's", "a=it\\'s", "a=b\\", "a=b\\\\", "a=1"])
def test_a_job_writes_to_the_folder_at_which_it_is_waited_for(name):
    launcher = PoolLauncher(command=[], finished="", slots=None, gpus_per_job=1, threads=None, preload=[])
    hydra = {"job": {"config_name": "a"}, "runtime": {"config_sources": []}, "overrides": {"hydra": []}}
    launcher.config = OmegaConf.create({"hydra": hydra})
    place = launcher._arguments([], Path("runs") / name)[-1]
    assert OverridesParser.create().parse_override(place).value() == f"runs/{name}"


def test_a_gpu_does_not_limit_the_jobs_on_the_cpu(app, tmp_path):
    sweep = app("-m", "number=0,1", "+trainer.accelerator=cpu", gpus="0")
    out, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, out
    assert [record["gpus"] for record in records(tmp_path).values()] == ["0", "0"]
    sweep = app("-m", "number=0,1", "+trainer.accelerator=gpu", gpus="0")
    out, _ = sweep.communicate(timeout=120)
    assert "slots=2 times gpus_per_job=1 is more than the 1 GPUs there are" in out
    swept = (
        "number=0",
        "+trainer.accelerator=gpu",
        "+trainer.devices=1,2",
        "hydra.launcher.gpus_per_job=null",
    )
    out, _ = app("-m", *swept, gpus="0,1").communicate(timeout=120)
    assert "slots=2 times gpus_per_job=2 is more than the 2 GPUs there are" in out


def test_terminated_sweep_leaves_no_job_behind(app, tmp_path):
    """Started as by nohup: of SIGHUP it goes on hearing nothing."""
    process = app(
        "-m", "number=0,1,2", "seconds=100", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    deadline = time.monotonic() + 60
    logs = [tmp_path / f"runs/tiny/number={number}/log.txt" for number in (0, 1)]
    while not all(log.exists() and "working on" in log.read_text() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: 0 of 3 jobs done. The same command resumes from here." in out
    assert not (tmp_path / "runs/tiny/number=2").exists()
    alive = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert not [line for line in alive.splitlines() if str(os.path.basename(tmp_path)) in line]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A module that runs the Python it is given, and the job that runs it in a folder."""
    (tmp_path / "run_code.py").write_text("import sys; exec(sys.argv[1])")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name, code: Job(tmp_path / name, ["run_code", code])


def test_a_job_without_its_last_file_has_failed(script):
    (line,) = run_pool([script("empty", "pass")], [{}], "metrics.json")
    assert re.search(r"empty ended without writing metrics\.json; see .*empty/log\.txt", line)


def test_a_killed_job_is_named_by_its_signal(script, capsys):
    code = "import os; print('ValueError: was caught', flush=True); print('step 7', flush=True); os.kill(os.getpid(), 9)"
    (line,) = run_pool([script("gone", code)], [{}], "metrics.json")
    assert re.search(r"gone was ended by SIGKILL; see .*log\.txt$", line)  # no exception is why
    assert "    step 7\n" in capsys.readouterr().out


def test_a_folder_that_cannot_be_used_fails_its_own_job_alone(script, tmp_path):
    (tmp_path / "a file").touch()
    (tmp_path / "a log" / "log.txt").mkdir(parents=True)
    good = script("good", f"open({str(tmp_path / 'good' / 'metrics.json')!r}, 'w').close()")
    jobs = [*(script(name, "pass") for name in ("a file", "a log", 300 * "x")), good]
    failed = run_pool(jobs, [{}], "metrics.json")
    for line, name, why in zip(failed, ("a file", "a log", "xxx"), ("File exists", "Is a directory", "File name too long"), strict=True):  # fmt: skip
        assert re.search(
            rf"{name} can't be run: {why}: /.*{name}.*\. A run needs a folder that it may write to: move",
            line,
        )
    assert (tmp_path / "good" / "metrics.json").exists()


TRAINING = """
import os, pathlib, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
here = pathlib.Path({folder!r})
(here / "began").touch()
while not asked:
    time.sleep(0.02)
(here / "asked").touch()
time.sleep({saving})
(here / "last.ckpt").touch()
"""


@pytest.fixture
def interruptible():
    """Ctrl-C is heard, and a closed terminal: a shell ignores the one in what it starts in the background, such as these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hangup)


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_lets_jobs_save_and_a_second_does_not(presses, script, tmp_path, capsys):
    code = TRAINING.format(folder=str(tmp_path / "job"), saving=0.3 if presses == 1 else 60)

    def press():
        for seen in ("began", "asked")[:presses]:
            while not (tmp_path / "job" / seen).exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(Stopped, match=r"stopped: 0 of 2 jobs done\. The same command resumes from here\."):
        run_pool([script("job", code), script("next", "pass")], [{}], "metrics.json")
    thread.join()
    assert (tmp_path / "job" / "last.ckpt").exists() == (presses == 1)
    assert not (tmp_path / "next").exists()
    told = "stopping: jobs that train finish their step and save (1 run); Ctrl-C again ends them at once"
    assert told in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("why", "saves"), [(signal.SIGHUP, True), (signal.SIGTERM, False), (RuntimeError, False)]
)
@pytest.mark.usefixtures("interruptible")
def test_jobs_have_long_to_save_unless_the_machine_or_the_pool_goes_down(
    why, saves, script, tmp_path, monkeypatch
):
    monkeypatch.setattr("bridgelab.launch.pool.GRACE_SECONDS", 0.5)
    code = TRAINING.format(folder=str(tmp_path / "job"), saving=2)
    sent = []

    def stop(_):
        if (tmp_path / "job" / "began").exists() and not sent:
            sent.append(why)
            if why is RuntimeError:
                raise RuntimeError("of the pool itself")
            for _ in range(1 + (why == signal.SIGHUP)):  # a terminal and its shell both send it
                os.kill(os.getpid(), why)

    monkeypatch.setattr("bridgelab.launch.pool._Pool._print_progress", stop)
    with pytest.raises(RuntimeError if why is RuntimeError else Stopped):
        run_pool([script("job", code)], [{}], "metrics.json")
    assert (tmp_path / "job" / "asked").exists()
    assert (tmp_path / "job" / "last.ckpt").exists() == saves


def test_only_the_last_attempt_is_shown(script, tmp_path, capsys):
    run_pool([script("job", "print('first words'); 1 / 0")], [{}], "metrics.json")
    capsys.readouterr()
    run_pool([script("job", "print('10%\\r20%\\r30%')")], [{}], "metrics.json")
    out = capsys.readouterr().out
    assert "ZeroDivisionError" not in out
    assert "    30%" in out
    assert "20%" not in out
    assert "first words" not in out
    assert "first words" in (tmp_path / "job" / "log.txt").read_text()


@pytest.mark.parametrize("ends", ["finished", "killed"])
def test_a_job_that_runs_elsewhere_is_waited_for_and_not_run_twice(
    ends, script, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("bridgelab.launch.pool.ASK_AGAIN_SECONDS", 0.1)
    folder = tmp_path / "job"
    folder.mkdir()
    log = (folder / "log.txt").open("ab")
    fcntl.flock(log, fcntl.LOCK_EX)  # belongs to this opening of the file, not to this process

    def end():
        if ends == "finished":
            (folder / "metrics.json").write_text("by the other")
        log.close()

    timer = threading.Timer(1.0, end)
    timer.start()
    jobs = [
        script(name, f"open({str(tmp_path / name / 'metrics.json')!r}, 'w').write('by this one')")
        for name in ("job", "free")
    ]
    assert run_pool(jobs, [{}], "metrics.json") == []
    timer.join()
    out = capsys.readouterr().out
    assert out.count("job is being run by another process, and waited for") == 1
    assert out.index("1/2  free") < out.index("2/2  job")  # what is free is run meanwhile
    by = "by the other" if ends == "finished" else "by this one"
    assert (folder / "metrics.json").read_text() == by
    assert (tmp_path / "free" / "metrics.json").read_text() == "by this one"


def test_two_jobs_in_one_folder_are_refused(app):
    out, _ = (sweep := app("-m", "number=0,1", "hydra.sweep.subdir=a")).communicate(timeout=120)
    assert sweep.returncode == 1
    assert "two of 2 jobs write to the same folder, runs/tiny/a. They differ in number alone" in out
    assert "Traceback" not in out


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, hydra_plugins.bridgelab_pool, bridgelab.launch.pool; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_finished_run_of_another_config_is_not_taken_for_this_one(app, tmp_path):
    """The folder's name comes from the overrides; `seconds` is left out of it here, as a path may be."""
    process = app("-m", "number=0,1")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    config = OmegaConf.create({"number": 1, "broken": -1, "seconds": 9.0, "study": "tiny"})
    for name, value in (("config.hash", config_hash(config)), ("config.yaml", OmegaConf.to_yaml(config))):
        (tmp_path / "runs/tiny/number=1" / name).write_text(value)
    told = (tmp_path / "runs/tiny/multirun.yaml").read_bytes()
    again = app("-m", "number=1,0", "seconds=0")
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 1
    assert re.search(
        r"1 of 2 jobs can't be run:\n.*number=1 holds a run of another config .*differ in seconds", out
    )
    # `bridgelab study --add` repeats the overrides in it.
    assert (tmp_path / "runs/tiny/multirun.yaml").read_bytes() == told
