"""What to set if a GPU's memory runs out while examples are predicted."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def explain_full_evaluation(batch_size: int, num_beams: int = 1) -> Iterator[None]:
    """Replace torch's out-of-memory error by one that names the keys of `evaluate` that need less.

    Args:
        batch_size: `evaluate.batch_size`.
        num_beams: of generated text; 1 is greedy.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        fewer = f", or evaluate.num_beams=1 (it is {num_beams})" if num_beams > 1 else ""
        raise MemoryError(
            f"the GPU's memory is full at {batch_size} examples that are evaluated at once. Set evaluate.batch_size="
            f"{max(1, batch_size // 2)} or lower{fewer}; a run then goes on from its last checkpoint. ({error})"
        ) from error
