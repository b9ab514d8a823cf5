import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from bridgelab.runs.locks import locked


def test_a_lock_is_waited_for_or_left(tmp_path):
    with locked(tmp_path / "a.lock") as own:
        assert own
        with locked(tmp_path / "a.lock", wait=False) as other:
            assert not other
    with locked(tmp_path / "a.lock", wait=False) as own:
        assert own


def test_a_killed_process_lets_go(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from bridgelab.runs.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.lock")], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with locked(tmp_path / "a.lock", wait=False) as own:
        assert not own
    os.kill(holder.pid, signal.SIGKILL)
    with locked(tmp_path / "a.lock") as own:
        assert own
    holder.communicate()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EACCES])
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, number):
    """The filelock package takes EACCES for a lock that is held, and for ENOSYS falls back to a marker file."""

    def refuse(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    match = r"a\.lock can't be locked \(.*\): its file system must have locks\. Keep this folder on one that has\."
    with pytest.raises(OSError, match=match), locked(tmp_path / "a.lock", wait=False):
        pass
