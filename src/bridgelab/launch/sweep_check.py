"""The jobs of a sweep, whatever runs them: their folders and configs, and which of them can't be run. Free of torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from bridgelab.config.schema import check_config, check_launcher
from bridgelab.runs.identity import refuse_another

PRIMARY = "train"  # the config whose keys are known; a launcher may serve another app


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep.

    Args:
        number: its place in the sweep.
        overrides: what makes it differ from the others.
        config: as it will see it.
        folder: where its record goes; its name is the job's name.
    """

    number: int
    overrides: tuple[str, ...]
    config: DictConfig
    folder: Path


def sweep_jobs(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[SweepJob]:
    """All jobs of a sweep, looked at before hours are spent on the first of them.

    Args:
        context: Hydra's, as a launcher is given it.
        config: of the sweep.
        job_overrides: of each job.
        first: the number of the first one.
    Raises:
        ValueError: if a config has a value that it may not have, a folder holds a run of another config, or two jobs share one.
    """
    check_launcher(config)
    jobs: list[SweepJob] = []
    refused: list[str] = []
    for number, overrides in enumerate(job_overrides, first):
        own = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(own):
            own.hydra.job.id = own.hydra.job.num = number
        folder = Path(own.hydra.sweep.dir) / own.hydra.sweep.subdir
        try:
            if own.hydra.job.config_name == PRIMARY:
                check_config(own)
            refuse_another(folder, own)  # an unlike run must not count as finished
        except ValueError as error:
            refused.append(f"{folder.name}: {error}")
        except OSError:
            pass  # a folder that can't be used: that job fails, when it is its turn
        jobs.append(SweepJob(number, tuple(overrides), own, folder))
    if refused:
        raise ValueError("\n".join([f"{len(refused)} of {len(jobs)} jobs can't be run:", *refused]))
    shared = [folder for folder, times in Counter(job.folder for job in jobs).items() if times > 1]
    if shared:
        raise ValueError(
            f"two of {len(jobs)} jobs write to the same folder, {shared[0]}. "
            "Let hydra.sweep.subdir differ between jobs, for example ${hydra.job.override_dirname}."
        )
    return jobs
