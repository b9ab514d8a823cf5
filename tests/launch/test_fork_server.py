import fcntl
import json
import os
import signal
import subprocess
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
    "leader": os.getpgrp() == os.getpid(), "slot": os.environ["SLOT"], "parent": os.getppid(),
}), flush=True)
if sys.argv[1:] == ["fail"]:
    raise RuntimeError("as asked")
if sys.argv[1:] == ["leave"]:
    sys.exit(3)
if sys.argv[1:] == ["sleep"]:
    time.sleep(60)
"""


BROKEN = "raise RuntimeError('some library is not as it should be')"


@pytest.fixture
def server(tmp_path):
    (tmp_path / "some_job.py").write_text(JOB)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    (tmp_path / "broken.py").write_text(BROKEN)
    server = ForkServer(
        os.environ | {"PYTHONPATH": path, "SLOT": "7"}, ["broken", "no_such_module", "decimal"]
    )
    yield server
    server.close()


def run(server, tmp_path, *arguments):
    with (tmp_path / "log.txt").open("wb") as log:
        job = server.start(["some_job", *arguments], log)
        return job, job.wait()


def said(tmp_path):
    """What the last job printed of itself."""
    return json.loads((tmp_path / "log.txt").read_text().splitlines()[0])


def test_a_job_is_run_as_by_python_m_with_the_imports_there(server, tmp_path):
    job, status = run(server, tmp_path, "one", "two words")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert status == 0
    assert job.poll() == 0
    assert said(tmp_path) == {
        "arguments": ["one", "two words"],
        "name": "__main__",
        "spec": "some_job",
        "loaded": True,
        "leader": True,
        "slot": "7",
        "parent": said(tmp_path)["parent"],
    }
    assert lines[1:] == ["left in order"]  # and not a library's word at the very end


def test_jobs_have_processes_of_their_own_and_one_parent(server, tmp_path):
    pids, parents = set(), set()
    for _ in range(3):
        pids.add(run(server, tmp_path)[0].pid)
        parents.add(said(tmp_path)["parent"])
    assert len(pids) == 3
    assert len(parents) == 1


@pytest.mark.parametrize(("asked", "status"), [("fail", 1), ("leave", 3)])
def test_the_exit_status_comes_back_and_the_traceback_is_logged(server, tmp_path, asked, status):
    assert run(server, tmp_path, asked)[1] == status
    assert ("RuntimeError: as asked" in (tmp_path / "log.txt").read_text()) == (asked == "fail")


def test_a_killed_job_tells_its_signal_and_the_next_one_runs(server, tmp_path):
    with (tmp_path / "log.txt").open("wb") as log:
        job = server.start(["some_job", "sleep"], log)
        assert job.poll() is None
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
    assert run(server, tmp_path)[1] == 0


def test_a_server_that_was_killed_is_replaced(server, tmp_path):
    assert run(server, tmp_path)[1] == 0
    first = said(tmp_path)["parent"]
    os.kill(first, signal.SIGKILL)
    assert run(server, tmp_path)[1] == 0
    assert said(tmp_path)["parent"] != first


def test_the_lock_on_the_log_outlives_the_launchers_handle(server, tmp_path):
    path = tmp_path / "log.txt"
    with path.open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        job = server.start(["some_job", "sleep"], log)
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


OTHER = """
import atexit, multiprocessing, sys

def job():
    atexit.register(print, "left in order", flush=True)
    print("begun", flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sys.argv[1:])
    process = context.Process(target=job)
    process.start()
    process.join()
    print(process.exitcode, flush=True)
"""


def test_what_multiprocessings_fork_server_lacks(tmp_path):
    """Once this fails, multiprocessing's runs atexit handlers: see `fork_server`."""
    (tmp_path / "other.py").write_text(OTHER)
    line = [sys.executable, str(tmp_path / "other.py"), "decimal"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.splitlines() == ["begun", "0"]  # ours says "left in order" in between
