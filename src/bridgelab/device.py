"""The device that a process computes on: the one place that decides it."""

import os

import torch


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
