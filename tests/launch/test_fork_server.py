import fcntl
import json
import os
import signal
import sys
import time

import pytest

from bridgelab.launch.fork_server import ForkServer

JOB = """
import atexit, json, os, sys, time
atexit.register(lambda: print("left in order"))
class Leaked:
    def __del__(self, write=os.write):
        write(1, b"leaked")
sys.leaked = Leaked()  # noticed when the interpreter itself ends
print(json.dumps({
    "arguments": sys.argv[1:], "name": __name__, "spec": __spec__.name, "loaded": "decimal" in sys.modules,
    "leader": os.getpgrp() == os.getpid(), "slot": os.environ["SLOT"],
}), flush=True)
if sys.argv[1:] == ["fail"]:
    raise RuntimeError("as asked")
if sys.argv[1:] == ["leave"]:
    sys.exit(3)
if sys.argv[1:] == ["sleep"]:
    time.sleep(60)
"""


@pytest.fixture
def forker(tmp_path, monkeypatch):
    (tmp_path / "some_job.py").write_text(JOB)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    made = ForkServer(os.environ | {"PYTHONPATH": path, "SLOT": "7"}, ["decimal", "no_such_module"])
    yield made
    made.close()


def run(forker, tmp_path, *arguments):
    with (tmp_path / "log.txt").open("wb") as log:
        job = forker.start(["some_job", *arguments], log)
        return job, job.wait()


def test_a_job_is_run_as_by_python_m_with_the_imports_there(forker, tmp_path):

    job, status = run(forker, tmp_path, "one", "two words")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert status == 0
    assert job.poll() == 0
    assert json.loads(lines[0]) == {
        "arguments": ["one", "two words"],
        "name": "__main__",
        "spec": "some_job",
        "loaded": True,
        "leader": True,
        "slot": "7",
    }
    assert lines[1:] == ["left in order"]  # and not a library's word at the very end


def test_jobs_have_processes_of_their_own_and_one_parent(forker, tmp_path):
    pids = {run(forker, tmp_path)[0].pid for _ in range(3)}
    assert len(pids) == 3
    assert forker._process.poll() is None


@pytest.mark.parametrize(("asked", "status"), [("fail", 1), ("leave", 3)])
def test_the_exit_status_comes_back_and_the_traceback_is_logged(forker, tmp_path, asked, status):
    assert run(forker, tmp_path, asked)[1] == status
    assert ("RuntimeError: as asked" in (tmp_path / "log.txt").read_text()) == (asked == "fail")


def test_a_killed_job_tells_its_signal_and_the_next_one_runs(forker, tmp_path):
    with (tmp_path / "log.txt").open("wb") as log:
        job = forker.start(["some_job", "sleep"], log)
        assert job.poll() is None
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
    assert run(forker, tmp_path)[1] == 0


def test_a_forker_that_was_killed_is_replaced(forker, tmp_path):
    assert run(forker, tmp_path)[1] == 0
    forker._process.kill()
    forker._process.wait()
    assert run(forker, tmp_path)[1] == 0


def test_the_lock_on_the_log_outlives_the_launchers_handle(forker, tmp_path):
    path = tmp_path / "log.txt"
    with path.open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        job = forker.start(["some_job", "sleep"], log)
    with path.open("ab") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    deadline = time.monotonic() + 10
    with path.open("ab") as other:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
    pytest.fail("the lock was never let go")
