"""Exclusive locks on files, which the kernel releases however a process ends. Free of torch.

The filelock package is not used. It waits by polling, where flock sleeps in the kernel. It takes a denied permission for
a lock that is held. By default it falls back to a marker file where the file system has no locks, and a killed process
leaves the marker behind.
"""

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

KERNEL_LOCKS = Path("/proc/locks")


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Lock a file, and yield whether the lock is held.

    Args:
        path: the lock file, which is created if it does not exist, and stays.
        wait: wait for the lock; if False, yield False at once if another holder has it.
    Raises:
        OSError: if the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        yield lock(file, wait)


def lock(file: IO[Any], wait: bool = True) -> bool:
    """Lock an open file until it is closed in every process that inherited it, and return whether the lock is held.

    Args:
        wait: wait for the lock; if False, return False at once if another holder has it.
    Raises:
        OSError: if the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(
            f"{file.name} can't be locked ({error}): its file system must have locks. Keep this folder on one that has."
        ) from error
    return True


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a lock that any number of processes may hold, so that `lock_holders` shows that they are at work.

    Nothing depends on it, so where the file can't be written or locked, it is not.
    """
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(held.enter_context(open(path, "a")), fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def lock_holders() -> Mapping[str, int]:
    """Return the processes of this machine that hold a lock, by the inode of its file. No lock is taken to find out."""
    return {inode: pid for pid, inode in _held()}


def all_lock_holders(path: Path) -> set[int]:
    """Return the processes of this machine that hold a file's lock, which may be shared.

    Raises:
        OSError: if the file does not exist.
    """
    own = str(path.stat().st_ino)
    return {pid for pid, inode in _held() if inode == own}


def _held() -> list[tuple[int, str]]:
    if not KERNEL_LOCKS.exists():
        return []
    found = re.findall(r"FLOCK +\w+ +\w+ +(-?\d+) \S+:(\d+) \d+ EOF", KERNEL_LOCKS.read_text())
    return [(int(pid), inode) for pid, inode in found]
