"""Lightning's trainer as a config names it."""

import functools
import os
import warnings
from collections.abc import Callable

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from bridgelab.config.instantiate import build
from bridgelab.device import trainer_device
from bridgelab.training.sole_process import RANKS, is_first

STEP_TASKS = "SLURM_STEP_NUM_TASKS"  # tasks of the srun that started this process


def trainer_builder(
    config: DictConfig, *, single_process: bool = False, processes: int = 1
) -> Callable[..., pl.Trainer]:
    """Return a trainer, to be called with the rest of its arguments.

    Args:
        config: the config's `trainer`.
        single_process: train in this process alone, on its own device, whatever the trainer's devices. It takes a batch in as many
            micro-batches as the trainer's processes together, so that what fits into their memory fits here.
        processes: of the trainer, as `check_trainer` returns them.
    """
    # Slurm's tools alone do not make a job of a run.
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    trainer = build(config, "trainer")
    if single_process:
        plugins, device = [LightningEnvironment()], trainer_device(config.accelerator)
        micro_batches = processes * config.get("accumulate_grad_batches", 1)
        return functools.partial(
            trainer,
            # 1 would be the first GPU, for all processes of a node
            devices=[device.index] if device.type == "cuda" else 1,
            num_nodes=1,
            strategy="auto",
            plugins=plugins,
            accumulate_grad_batches=micro_batches,
        )
    if _is_slurm_task():
        # Lightning's own requeuing would write a checkpoint of another layout.
        return functools.partial(trainer, plugins=[SLURMEnvironment(auto_requeue=False)])
    return trainer


def check_trainer(config: DictConfig) -> int:
    """Build the trainer once, so that what can't train (no GPU, Slurm's tasks without srun) is refused first.

    Returns:
        The number of its processes.
    Raises:
        ValueError: with Lightning's reason, or if the processes that were started and that Lightning starts are not the trainer's.
    """
    try:
        trainer = trainer_builder(config)(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    except (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"Lightning refuses this trainer: {error} Choose another trainer=NAME.") from error
    processes = trainer.num_devices * trainer.num_nodes
    # Each surplus process would act as rank 0 and train the whole run in the same folder.
    alone = trainer.is_global_zero and not is_first(os.environ)
    too_many = alone or max(trainer.world_size, _launched()) != processes
    if too_many or _waits_in_vain(trainer, processes):
        names = [*RANKS, "WORLD_SIZE", "SLURM_NTASKS", STEP_TASKS]
        given = ", ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
        launched = (
            f"the launcher's variables ({given}) do not fit"
            if given
            else "no launcher started the processes of"
        )
        raise ValueError(
            f"{launched} trainer.devices={trainer.num_devices} times trainer.num_nodes="
            f"{trainer.num_nodes}: a launcher must start exactly the processes of one run. Start {processes} (srun --ntasks-per-node="
            f"{trainer.num_devices}, torchrun --nproc-per-node={trainer.num_devices}), or choose trainer=ddp or trainer=multinode with the "
            "numbers of the launcher."
        )
    return processes


def check_batch(config: DictConfig, batch_size: int, processes: int, *, least: int = 1) -> None:
    """Check that a batch divides among a trainer's processes, whose number devices=auto and -1 leave open until it is built.

    Args:
        config: the config's `trainer`.
        batch_size: examples of a step.
        processes: of the trainer, as `check_trainer` returns them.
        least: examples that each process needs at a time.
    Raises:
        ValueError: if it does not.
    """
    micro_batches = processes * config.get("accumulate_grad_batches", 1)
    if batch_size % micro_batches or batch_size < least * micro_batches:
        raise ValueError(
            f"train.batch_size={batch_size}: must be a multiple of {micro_batches}, which is the {processes} processes that "
            f"trainer.devices={config.devices} gives here times trainer.accumulate_grad_batches, with {least} or more for each. Set "
            f"train.batch_size={max(least, round(batch_size / micro_batches)) * micro_batches}, or trainer.devices to a number that "
            "divides it."
        )


def _waits_in_vain(trainer: pl.Trainer, processes: int) -> bool:
    """Return whether nobody starts some of a trainer's processes, for which the others would wait until they time out."""
    if _is_slurm_task():
        return _launched() < processes  # a batch script without srun has Slurm's numbers, but is one process
    environment = getattr(trainer.strategy, "cluster_environment", None)
    # Lightning starts the processes of this machine alone.
    return (
        trainer.num_nodes > 1
        and isinstance(environment, LightningEnvironment)
        and "MASTER_ADDR" not in os.environ
    )


def _is_slurm_task() -> bool:
    """Return whether Slurm has started this process as one of a run's. Inside Slurm torchrun may have."""
    if "SLURM_JOB_ID" not in os.environ or TorchElasticEnvironment.detect():
        return False
    # Lightning takes any step of an interactive job for a shell, even one of several tasks.
    return SLURMEnvironment.detect() or _launched() > 1


def _launched() -> int:
    """Return how many processes torchrun or srun started together, this one among them; 1 without either."""
    return int(os.environ.get("WORLD_SIZE" if TorchElasticEnvironment.detect() else STEP_TASKS, 1))
