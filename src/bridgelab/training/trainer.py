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


def trainer_builder(config: DictConfig, *, single_process: bool = False) -> Callable[..., pl.Trainer]:
    """Return a trainer, to be called with the rest of its arguments.

    Args:
        config: the config's `trainer`.
        single_process: train in this process alone, whatever the trainer's devices.
    """
    # Slurm's tools alone do not make a job of a run.
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    trainer = build(config, "trainer")
    if single_process:
        plugins = [LightningEnvironment()]
        return functools.partial(trainer, devices=1, num_nodes=1, strategy="auto", plugins=plugins)
    if "SLURM_JOB_ID" in os.environ and SLURMEnvironment.detect():
        # Lightning's own requeuing would write a checkpoint of another layout.
        return functools.partial(trainer, plugins=[SLURMEnvironment(auto_requeue=False)])
    return trainer


def check_trainer(config: DictConfig) -> None:
    """Build the trainer once, so that what Lightning refuses (no GPU, Slurm's tasks without srun) is refused first.

    Raises:
        ValueError: with Lightning's reason.
    """
    try:
        trainer_builder(config)(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"Lightning refuses this trainer: {error} Choose another trainer=NAME.") from error
