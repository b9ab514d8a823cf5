"""What a launcher returns to Hydra for each finished job. Free of torch."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus

from bridgelab.runs.objective import objective


def finished_job(overrides: Sequence[str], folder: Path) -> JobReturn:
    """Return a finished job with its run's objective as the return value, which sweepers such as Optuna's read."""
    job = JobReturn(overrides=list(overrides), working_dir=str(folder), status=JobStatus.COMPLETED)
    job.return_value = objective(folder)
    return job
