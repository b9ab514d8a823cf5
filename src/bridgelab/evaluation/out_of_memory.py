"""What to set if a GPU's memory runs out while examples are predicted."""

from contextlib import AbstractContextManager

from bridgelab.device import explain_full_gpu


def explain_full_evaluation(batch_size: int, num_beams: int = 1) -> AbstractContextManager[None]:
    """Replace torch's out-of-memory error by one that names the keys of `evaluate` that need less.

    Args:
        batch_size: `evaluate.batch_size`.
        num_beams: of generated text; 1 is greedy.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    fewer = f", or evaluate.num_beams=1 (it is {num_beams})" if num_beams > 1 else ""
    return explain_full_gpu(
        f" at {batch_size} examples that are evaluated at once",
        f"evaluate.batch_size={max(1, batch_size // 2)} or lower{fewer}; a run then goes on from its last checkpoint",
    )
