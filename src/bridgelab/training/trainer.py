"""Lightning's trainer as a config names it."""

import functools
import os
import warnings
from collections.abc import Callable

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from bridgelab.config.instantiate import build
from bridgelab.device import trainer_device


def trainer_builder(
    config: DictConfig, *, single_process: bool = False, processes: int = 1
) -> Callable[..., pl.Trainer]:
    """Return a trainer, to be called with the rest of its arguments.

    Args:
        config: the config's `trainer`.
        single_process: train in this process alone, on its own device, whatever the trainer's devices. It takes a batch in as many
            parts as the trainer's processes together, so that what fits into their memory fits here.
        processes: of the trainer, as `check_trainer` returns them.
    """
    # Slurm's tools alone do not make a job of a run.
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    trainer = build(config, "trainer")
    if single_process:
        plugins, device = [LightningEnvironment()], trainer_device(config.accelerator)
        parts = processes * config.get("accumulate_grad_batches", 1)
        return functools.partial(
            trainer,
            # 1 would be the first GPU, for all processes of a node
            devices=[device.index] if device.type == "cuda" else 1,
            num_nodes=1,
            strategy="auto",
            plugins=plugins,
            accumulate_grad_batches=parts,
        )
    if "SLURM_JOB_ID" in os.environ and SLURMEnvironment.detect():
        # Lightning's own requeuing would write a checkpoint of another layout.
        return functools.partial(trainer, plugins=[SLURMEnvironment(auto_requeue=False)])
    return trainer


def check_trainer(config: DictConfig) -> int:
    """Build the trainer once, so that what Lightning refuses (no GPU, Slurm's tasks without srun) is refused first.

    Returns:
        The number of its processes.
    Raises:
        ValueError: with Lightning's reason.
    """
    try:
        trainer = trainer_builder(config)(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"Lightning refuses this trainer: {error} Choose another trainer=NAME.") from error
    return trainer.num_devices * trainer.num_nodes
