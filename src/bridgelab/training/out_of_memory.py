"""What to set if a GPU's memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """Replace torch's out-of-memory error by one that names the settings that need less.

    Args:
        batch_size: of all processes.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            f"the GPU's memory is full at batches of {batch_size}. Set trainer.accumulate_grad_batches higher (a batch is taken in "
            "that many parts, for the same steps), text.checkpointing=true, train.precision=bf16, text.device_map=auto to "
            f"spread the T5 over GPUs, or text.eight_bit=true; 'bridgelab doctor' predicts what each takes. ({error})"
        ) from error
