"""What to set if a GPU's memory is full: in training, while examples are predicted, or before."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

SMALLER_T5 = (
    "text.dtype=bfloat16, +text.device_map=auto to spread the T5 over GPUs, text.eight_bit=true or a smaller text=NAME, or end what "
    "else is on the GPU (nvidia-smi lists it)"
)
SMALLER_VIT = (
    "vision.dtype=bfloat16 or a smaller vision=NAME, or encode the images first on a larger GPU by 'bridgelab features' with the same "
    "arguments"
)
PARTS = "+trainer.accumulate_grad_batches=2 or higher (a batch is taken in that many parts, for the same steps), text.checkpointing=true"
FEWER_BYTES = (
    f"{PARTS}, train.precision=bf16, +text.device_map=auto to spread the T5 over GPUs, or text.eight_bit=true; "
    "'bridgelab doctor' predicts what each takes"
)


@contextmanager
def explain_full_gpu(where: str, advice: str) -> Iterator[None]:
    """Replace torch's out-of-memory error by one that names the settings that need less.

    Args:
        where: follows "the GPU's memory is full", as " at batches of 16" or ": the T5 does not fit".
        advice: the settings, with their values.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"the GPU's memory is full{where}. Set {advice}. ({error})") from error


def explain_full_training(batch_size: int, advice: str = FEWER_BYTES) -> AbstractContextManager[None]:
    """Replace torch's out-of-memory error in training by one that names the settings that need less.

    Args:
        batch_size: of all processes.
        advice: the settings, with their values.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    return explain_full_gpu(f" at batches of {batch_size}", advice)


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
