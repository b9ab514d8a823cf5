"""Fresh processes that begin with their imports done: one process imports them once, and forks for each job.

On a CPU the imports of torch, Lightning, transformers and open_clip cost 10 to 30 s of a core, for each job of a sweep.
A forked job is as fresh as a started one: nothing has run in its parent but imports. Not for GPUs, where CUDA may
have been asked something during an import and does not survive a fork. Free of torch.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO

READY, STARTED, ENDED = "ready", "started", "ended"


class ForkedJob:
    """A job that a `ForkServer` has begun: what the launcher needs of `subprocess.Popen`."""

    def __init__(self, pid: int, talk: socket.socket):
        self.pid, self.returncode = pid, None
        self._talk = talk

    returncode: int | None

    def poll(self) -> int | None:
        """The exit status, −N if signal N ended it, None while it runs."""
        if self.returncode is None and select.select([self._talk], [], [], 0)[0]:
            self._hear()
        return self.returncode

    def wait(self) -> int:
        """Wait for the exit status."""
        while self.returncode is None:
            self._hear()
        return self.returncode

    def _hear(self) -> None:
        told = _receive(self._talk)
        # Without a word the process that forks is gone; the job may live, and its group is signalled by the launcher.
        self.returncode = told[ENDED] if told else -signal.SIGKILL


class ForkServer:
    """A process with some modules imported, which runs one job after the other in forks of itself.

    Args:
        environment: of the process and its jobs, whole.
        preload: modules to import; one that can't be is left to the jobs, whose logs then say why.
    """

    def __init__(self, environment: dict[str, str], preload: Sequence[str]):
        self._environment, self._preload = environment, list(preload)
        self._process: subprocess.Popen | None = None
        self._talk: socket.socket | None = None
        self._imported = False

    def ready(self) -> bool:
        """Start the process if there is none; whether its imports are done, so that `start` takes a moment."""
        if self._process is None:
            self._begin()
        assert self._talk is not None
        return self._imported or bool(select.select([self._talk], [], [], 0)[0])

    def start(self, arguments: Sequence[str], log: BinaryIO) -> ForkedJob:
        """Run `python -m <arguments>` as the leader of a session of its own, its output going to `log`.

        Raises:
            OSError: if the process that forks could not be started.
        """
        for _ in range(2):
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._begin()
            assert self._talk is not None
            with contextlib.suppress(OSError):
                self._imported = self._imported or _receive(self._talk) is not None
                socket.send_fds(self._talk, [json.dumps(list(arguments)).encode() + b"\n"], [log.fileno()])
                told = _receive(self._talk)
                if told:
                    return ForkedJob(told[STARTED], self._talk)
            self.close()  # it died between two jobs: once more, with a new one
        raise OSError(f"the process that forks for {arguments[0]!r} ends as soon as it is started.")

    def close(self) -> None:
        """End the process that forks; a job that it may have goes on."""
        if self._talk is not None:
            self._talk.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._talk = None
        self._imported = False

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bridgelab.launch.fork_server", str(theirs.fileno()), *self._preload],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._talk = ours


def _receive(talk: socket.socket) -> dict[str, int] | None:
    """One line of JSON; None if the other side is gone."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            got = talk.recv(1)  # byte by byte: what follows is another message
        except OSError:
            return None
        if not got:
            return None
        line += got
    return json.loads(line)


def serve(talk: socket.socket) -> list[str] | None:
    """Fork for each job that is asked for; returns its arguments in the fork, None when nobody asks any more."""
    while True:
        line = b""
        fds: list[int] = []
        while not line.endswith(b"\n"):
            got, more, _, _ = socket.recv_fds(talk, 65536, 1)
            if not got:
                return None
            line, fds = line + got, [*fds, *more]
        ready, led = os.pipe()
        pid = os.fork()
        if pid == 0:
            talk.close()
            os.setsid()
            os.close(ready)
            os.close(led)
            for stream in (1, 2):
                os.dup2(fds[0], stream)
            # fds[0] stays open: the lock on the log belongs to the job as well as to the launcher.
            return json.loads(line)
        os.close(fds[0])
        os.close(led)
        os.read(ready, 1)  # ends once the job leads its group: none is told of that can't be signalled yet
        os.close(ready)
        with contextlib.suppress(OSError):  # the launcher may be gone; the job is not the worse for it
            talk.sendall(json.dumps({STARTED: pid}).encode() + b"\n")
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            talk.sendall(json.dumps({ENDED: os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def main(descriptor: int, preload: Sequence[str]) -> None:
    """Import, then serve; in a fork, run the job's module as `python -m` does."""
    for name in preload:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # Else each fork's own garbage collection, and its end, would go through all that was imported: copied page by page, it is
    # 2.8 s of a core a job in place of 0.6.
    gc.collect()
    gc.freeze()
    talk = socket.socket(fileno=descriptor)
    talk.sendall(json.dumps({READY: os.getpid()}).encode() + b"\n")
    arguments = serve(talk)
    if arguments is not None:
        atexit.register(_fall_silent)  # the first that is registered is the last that is called
        sys.argv = list(arguments)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _fall_silent() -> None:
    """After all that a job may say: what was frozen looks leaked to some libraries (nanobind), which count it at the very end."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
