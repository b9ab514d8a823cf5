"""Several processes that share a piece of work: which of them this is, and what all of them found."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(
    hours=6
)  # with the slowest; one that has died is noticed at once, by its closed connection


class Processes:
    """One of several processes, numbered from 0.

    Args:
        rank: this one.
        world: how many there are.
        group: in which they talk; None for one alone.
    """

    def __init__(self, rank: int = 0, world: int = 1, group: Any = None):
        self.rank, self.world, self._group = rank, world, group

    def gathered(self, own: list[Any]) -> list[Any]:
        """The items of all processes in all of them, those of the first process first.

        Args:
            own: this process's; of what JSON knows, and as many as there are.
        """
        if self.world == 1:
            return own
        content = torch.frombuffer(bytearray(json.dumps(own).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([len(content)]), group=self._group)
        longest = max(int(size) for size in sizes)
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
        dist.all_gather(
            parts, torch.nn.functional.pad(content, (0, longest - len(content))), group=self._group
        )
        return [
            item
            for part, size in zip(parts, sizes, strict=True)
            for item in json.loads(part[: int(size)].numpy().tobytes())
        ]


@contextmanager
def processes() -> Iterator[Processes]:
    """This process among those that train together, or one alone where there are no others.

    They talk by gloo in a group of their own, which lasts as long as the context: whatever the GPUs talk by, text stays on
    the CPU, and the patience is not that of a training step.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield Processes()
        return
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield Processes(dist.get_rank(), dist.get_world_size(), group)
    dist.destroy_process_group(group)
