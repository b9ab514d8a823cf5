"""What to set if a GPU's memory runs out in training."""

from contextlib import AbstractContextManager

from bridgelab.device import explain_full_gpu

PARTS = "+trainer.accumulate_grad_batches=2 or higher (a batch is taken in that many parts, for the same steps), text.checkpointing=true"
FEWER_BYTES = (
    f"{PARTS}, train.precision=bf16, +text.device_map=auto to spread the T5 over GPUs, or text.eight_bit=true; "
    "'bridgelab doctor' predicts what each takes"
)


def explain_out_of_memory(batch_size: int, advice: str = FEWER_BYTES) -> AbstractContextManager[None]:
    """Replace torch's out-of-memory error in training by one that names the settings that need less.

    Args:
        batch_size: of all processes.
        advice: the settings, with their values.
    Raises:
        MemoryError: if a GPU's memory runs out.
    """
    return explain_full_gpu(f" at batches of {batch_size}", advice)
