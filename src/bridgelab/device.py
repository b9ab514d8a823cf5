"""The device that a process computes on: the one place that decides it, and what to set if its memory is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALLER_T5 = (
    "text.dtype=bfloat16, +text.device_map=auto to spread the T5 over GPUs, text.eight_bit=true or a smaller text=NAME, or end what "
    "else is on the GPU (nvidia-smi lists it)"
)
SMALLER_VIT = (
    "vision.dtype=bfloat16 or a smaller vision=NAME, or encode the images first on a larger GPU by 'bridgelab features' with the same "
    "arguments"
)


def local_device(process: int = 0) -> torch.device:
    """Return this process's own GPU, or the CPU if there is no GPU.

    Args:
        process: the number of this process on its machine, if neither Lightning (LOCAL_RANK) nor Slurm (SLURM_LOCALID)
            has set it.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", process))
    return torch.device("cuda", int(local) % torch.cuda.device_count())


def trainer_device(accelerator: str) -> torch.device:
    """Return the device that Lightning trains on in this process.

    Args:
        accelerator: `trainer.accelerator` of a config.
    """
    return local_device() if accelerator in ("gpu", "cuda", "auto") else torch.device("cpu")


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
