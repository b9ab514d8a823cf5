"""Who encodes which image: locks that the kernel lets go of however a process ends. Free of torch."""

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

BUCKETS = 64  # as many processes can work at once
GROUP = 256  # images that are claimed together, at least


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the file's lock; the kernel lets go of it however the process ends.

    Args:
        path: of the lock file, made where there is none.
        wait: until whoever holds it lets go; else the answer is False where somebody does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            held = False
        except OSError as error:
            raise OSError(
                f"{path} can't be locked ({error}): its file system must have locks. Keep this folder on one that has."
            ) from error
        else:
            held = True
        yield held


@contextmanager
def claimed(folder: Path, buckets: Sequence[int], wait: bool) -> Iterator[bool]:
    """Hold some buckets' locks, in ascending order, so that no two processes wait for each other."""
    with ExitStack() as held:
        yield all(
            held.enter_context(locked(folder / f"{bucket:02d}.lock", wait)) for bucket in sorted(buckets)
        )


def groups(hashes: Iterable[str]) -> list[tuple[list[int], list[str]]]:
    """Images in groups to be claimed one after another, each with its buckets.

    An image's bucket follows from its content, so processes that want different images still meet at the same locks.
    The groups follow from what is wanted, not from what is missing: two processes, or one that was killed and started
    anew, cut the work the same way.
    """
    of: dict[int, list[str]] = {}
    for one in sorted(set(hashes)):
        of.setdefault(int(one[:4], 16) % BUCKETS, []).append(one)
    made: list[tuple[list[int], list[str]]] = []
    for bucket in sorted(of):
        if not made or len(made[-1][1]) >= GROUP:
            made.append(([], []))
        made[-1][0].append(bucket)
        made[-1][1].extend(of[bucket])
    return made
