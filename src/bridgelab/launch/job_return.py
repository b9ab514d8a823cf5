"""What a launcher returns to Hydra for each finished job. Free of torch."""

import os
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf

from bridgelab.runs.objective import objective

BASIC = ".BasicSweeper"  # Hydra's own, which ends at the first failure


def finished_job(overrides: Sequence[str], folder: Path) -> JobReturn:
    """Return a finished job with its run's objective as the return value, which sweepers such as Optuna's read."""
    job = JobReturn(overrides=list(overrides), working_dir=str(folder), status=JobStatus.COMPLETED)
    job.return_value = objective(folder)
    return job


def judges_failures(config: DictConfig) -> bool:
    """Return whether a sweep's sweeper decides itself what failed jobs mean, as Optuna's does by max_failure_rate."""
    return not str(OmegaConf.select(config, "hydra.sweeper._target_", default=BASIC)).endswith(BASIC)


def ended_job(overrides: Sequence[str], folder: Path, finished: str) -> JobReturn:
    """Return a job for a sweeper that judges failures: one without the file that it writes last raises when its value is read."""
    if os.path.exists(folder / finished):
        return finished_job(overrides, folder)
    job = JobReturn(overrides=list(overrides), working_dir=str(folder), status=JobStatus.FAILED)
    job.return_value = CompactHydraException(f"{folder.name} failed, and its log is in {folder}.")
    return job
