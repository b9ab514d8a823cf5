"""A process that imports modules once and forks for each job, so that jobs start with their imports done. Free of torch.

On a CPU, importing torch, Lightning, transformers and open_clip takes 10 to 30 s of a core for each job of a sweep.
A forked job is as fresh as a spawned one, because its parent has only imported modules. Do not use it for GPUs: a module
may initialise CUDA when imported, and CUDA does not survive a fork.

`multiprocessing`'s forkserver with `set_forkserver_preload` is not used, for these reasons
(`tests/launch/test_fork_server.py` shows the first):

- A child ends by `os._exit` and never runs `atexit` handlers, in which W&B and others finish their files.
- A module to preload that raises anything but ImportError ends the server, and with it every job.
- The parent learns a child's pid before the child could lead a process group, so an early signal misses its group.
- There is one server a process, with the launcher's environment; each slot of a pool has an environment of its own.
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
    """A job that a `ForkServer` started, with the part of `subprocess.Popen`'s interface that the pool needs."""

    def __init__(self, pid: int, connection: socket.socket):
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        """Return the exit status, −N if signal N ended the job, or None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._read_status()
        return self.returncode

    def wait(self) -> int:
        """Wait for the exit status and return it."""
        while self.returncode is None:
            self._read_status()
        return self.returncode

    def _read_status(self) -> None:
        message = _receive(self._connection)
        # Without a message the fork server is gone. The job may still run; the launcher signals its process group.
        self.returncode = message[ENDED] if message else -signal.SIGKILL


class ForkServer:
    """A process with some modules imported, which runs one job after another in forks of itself.

    Args:
        environment: all environment variables of the process and its jobs.
        preload: modules to import. If one fails to import, the jobs import it again and log why it fails.
    """

    def __init__(self, environment: dict[str, str], preload: Sequence[str]):
        self._environment, self._preload = environment, list(preload)
        self._process: subprocess.Popen | None = None
        self._connection: socket.socket | None = None
        self._imported = False

    def ready(self) -> bool:
        """Start the process if necessary, and return whether its imports are done, so that `start` is quick."""
        if self._process is None:
            self._spawn()
        assert self._connection is not None
        return self._imported or bool(select.select([self._connection], [], [], 0)[0])

    def start(self, arguments: Sequence[str], log: BinaryIO) -> ForkedJob:
        """Run `python -m <arguments>` as the leader of a new session, with its output in `log`.

        Raises:
            OSError: if the fork server could not be started.
        """
        for _ in range(2):
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._spawn()
            assert self._connection is not None
            with contextlib.suppress(OSError):
                self._imported = self._imported or _receive(self._connection) is not None
                request = json.dumps(list(arguments)).encode() + b"\n"
                socket.send_fds(self._connection, [request], [log.fileno()])
                message = _receive(self._connection)
                if message:
                    return ForkedJob(message[STARTED], self._connection)
            self.close()  # it died between two jobs: try once more with a new one
        raise OSError(f"the process that forks for {arguments[0]!r} ends as soon as it is started.")

    def close(self) -> None:
        """End the fork server. A job that it started keeps running."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None
        self._imported = False

    def _spawn(self) -> None:
        launcher_end, server_end = socket.socketpair()
        with server_end:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bridgelab.launch.fork_server",
                    str(server_end.fileno()),
                    *self._preload,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                pass_fds=[server_end.fileno()],
                start_new_session=True,
            )
        self._connection = launcher_end


def _receive(connection: socket.socket) -> dict[str, int] | None:
    """Return the next message, one line of JSON, or None if the other end is gone."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            byte = connection.recv(1)  # no more than a byte, as what follows the line is another message
        except OSError:
            return None
        if not byte:
            return None
        line += byte
    return json.loads(line)


def _receive_request(connection: socket.socket) -> tuple[list[str], int] | None:
    """Return the next job's arguments and the descriptor of its log, or None if the launcher is gone."""
    line = b""
    descriptors: list[int] = []
    while not line.endswith(b"\n"):
        data, received, _, _ = socket.recv_fds(connection, 65536, 1)
        if not data:
            return None
        line, descriptors = line + data, [*descriptors, *received]
    return json.loads(line), descriptors[0]


def serve(connection: socket.socket) -> list[str] | None:
    """Fork for each request.

    Returns:
        In a fork, the job's arguments; in the server, None once the launcher is gone.
    """
    while request := _receive_request(connection):
        arguments, log = request
        pipe_read, pipe_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            connection.close()
            os.setsid()
            os.close(pipe_read)
            os.close(pipe_write)
            for stream in (1, 2):
                os.dup2(log, stream)
            # The descriptor stays open, so that the job holds the lock on its log together with the launcher.
            return arguments
        os.close(log)
        os.close(pipe_write)
        os.read(pipe_read, 1)  # returns once the job leads its process group, so that it can be signalled
        os.close(pipe_read)
        with contextlib.suppress(OSError):  # the launcher may be gone; the job goes on
            connection.sendall(json.dumps({STARTED: pid}).encode() + b"\n")
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({ENDED: os.waitstatus_to_exitcode(status)}).encode() + b"\n")
    return None


def main(descriptor: int, preload: Sequence[str]) -> None:
    """Import the modules, then serve; in a fork, run the job's module as `python -m` does."""
    for name in preload:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # Otherwise each fork's garbage collector visits, and so copies, the pages of all that was imported:
    # 2.8 s of a core per job instead of 0.6.
    gc.collect()
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    connection.sendall(json.dumps({READY: os.getpid()}).encode() + b"\n")
    arguments = serve(connection)
    if arguments is not None:
        atexit.register(_discard_output)  # registered first, so it runs last
        sys.argv = list(arguments)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _discard_output() -> None:
    """Send further output nowhere: at the very end, nanobind reports frozen objects as leaks."""
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
