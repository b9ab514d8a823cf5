"""Claims on images, so that several processes that fill one feature store encode each image once. Free of torch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bridgelab.runs.locks import locked

BUCKETS = 64  # also the most processes that encode at the same time
GROUP_SIZE = 256  # the fewest images claimed together, except for the last group


@contextmanager
def claimed(folder: Path, buckets: Sequence[int], wait: bool) -> Iterator[bool]:
    """Lock some buckets, and yield whether all locks are held. The ascending order prevents deadlocks."""
    with ExitStack() as held:
        yield all(
            held.enter_context(locked(folder / f"{bucket:02d}.lock", wait)) for bucket in sorted(buckets)
        )


def groups(hashes: Iterable[str]) -> list[tuple[list[int], list[str]]]:
    """Return groups of images to claim one after another, each as its buckets and its hashes.

    An image's bucket depends on its content, so processes that want different images still meet at the same locks.
    Groups depend on the images that are wanted, not on those that are missing, so two processes, or one that was killed
    and restarted, form the same groups.
    """
    by_bucket: dict[int, list[str]] = {}
    for image in sorted(set(hashes)):
        by_bucket.setdefault(int(image[:4], 16) % BUCKETS, []).append(image)
    claims: list[tuple[list[int], list[str]]] = []
    for bucket in sorted(by_bucket):
        if not claims or len(claims[-1][1]) >= GROUP_SIZE:
            claims.append(([], []))
        claims[-1][0].append(bucket)
        claims[-1][1].extend(by_bucket[bucket])
    return claims
