"""Work that several processes share: which of them this is, and the results of all of them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

# To wait for the slowest process; one that has died is noticed at once, by its closed connection.
GATHER_TIMEOUT = timedelta(hours=6)


class Processes:
    """One of several processes, numbered from 0.

    Args:
        rank: the number of this process.
        world_size: the number of processes.
        group: the process group that they talk in; None if there is one process.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, group: Any = None):
        self.rank, self.world_size, self._group = rank, world_size, group

    def gather(self, own: list[Any]) -> list[Any]:
        """Return the items of all processes, in all of them, those of the first process first."""
        if self.world_size == 1:
            return own
        lists: list[Any] = [None] * self.world_size
        dist.all_gather_object(lists, own, group=self._group)
        return list(itertools.chain.from_iterable(lists))


@contextmanager
def processes() -> Iterator[Processes]:
    """Yield this process among those that train together, or as the only one.

    They talk by gloo, in a group that lasts as long as the context: text stays on the CPU whatever the GPUs talk by, and the
    timeout is not that of a training step.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield Processes()
        return
    group = dist.new_group(backend="gloo", timeout=GATHER_TIMEOUT)
    yield Processes(dist.get_rank(), dist.get_world_size(), group)
    dist.destroy_process_group(group)
