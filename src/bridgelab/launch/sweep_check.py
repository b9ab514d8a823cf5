"""The jobs of a sweep with their folders and configs, checked before the first one starts. Free of torch."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from bridgelab.config.check import check_config, check_launcher
from bridgelab.console import get_console
from bridgelab.launch.planned_steps import Work, planned_work
from bridgelab.printable import printable
from bridgelab.runs.identity import refuse_another
from bridgelab.runs.run_name import bridge_of

PRIMARY = "train"  # the config whose keys are checked; a launcher may serve another app


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep.

    Args:
        number: its index in the sweep.
        overrides: the overrides by which it differs from the others.
        config: its config.
        folder: the folder of its record, whose name is the job's name.
        work: the steps that it will train; None if it is no run of `PRIMARY`.
    """

    number: int
    overrides: tuple[str, ...]
    config: DictConfig
    folder: Path
    work: Work | None = None


def sweep_jobs(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[SweepJob]:
    """Return all jobs of a sweep after checking each of them, and warn of a verdict that has no baseline.

    Args:
        context: Hydra's context, as a launcher receives it.
        config: the sweep's config.
        job_overrides: the overrides of each job.
        first: the number of the first job.
    Raises:
        ValueError: if a config has a wrong value, a folder holds a run of another config, or two jobs share a folder.
    """
    check_launcher(config)
    jobs: list[SweepJob] = []
    refused: list[str] = []
    for number, overrides in enumerate(job_overrides, first):
        job_config = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(job_config):
            job_config.hydra.job.id = job_config.hydra.job.num = number
        folder = Path(job_config.hydra.sweep.dir) / job_config.hydra.sweep.subdir
        work = None
        try:
            if job_config.hydra.job.config_name == PRIMARY:
                check_config(job_config)
                work = planned_work(job_config)
            refuse_another(folder, job_config)  # a run of another config must not count as finished
        except ValueError as error:
            refused.append(f"{folder.name}: {error}")
        except OSError:
            pass  # the folder can't be used: the job fails when it starts
        jobs.append(SweepJob(number, tuple(overrides), job_config, folder, work))
    if refused:
        raise ValueError("\n".join([f"{len(refused)} of {len(jobs)} jobs can't be run:", *refused]))
    shared = [folder for folder, times in Counter(job.folder for job in jobs).items() if times > 1]
    if shared:
        raise ValueError(_sharing(jobs, shared[0]))
    if warning := without_baseline(jobs):
        get_console().print(printable(warning), markup=False, soft_wrap=True)
    return jobs


def _sharing(jobs: Sequence[SweepJob], folder: Path) -> str:
    """Return why several jobs would write to a folder, and what to do: its name leaves out keys that do not make another run."""
    there = [
        dict(one.lstrip("+~").partition("=")[::2] for one in job.overrides)
        for job in jobs
        if job.folder == folder
    ]
    keys = sorted(key for key in there[0] if len({one.get(key) for one in there}) > 1)
    told = f"two of {len(jobs)} jobs write to the same folder, {folder}."
    if not keys:
        given = ", ".join(f"{key}={value}" for key, value in there[0].items())
        return f"{told} Their values are the same ({given}). Give each value once; with Optuna, set hydra.sweeper.n_jobs=1."
    differ = f"They differ in {', '.join(keys)} alone, which {'is' if len(keys) == 1 else 'are'} no part of its name."
    if all(key.startswith("evaluate.") for key in keys):
        command = shlex.join(
            ["bridgelab", "evaluate", str(folder), *(f"{key}={there[-1][key]}" for key in keys)]
        )
        apart = "" if keys == ["evaluate.tokens"] else ", each with a study=NAME of its own"
        return f"{told} {differ} Train the run once, and evaluate it with each value{apart}: {command}"
    return f"{told} {differ} Give one value."


def without_baseline(jobs: Sequence[SweepJob]) -> str:
    """Return a warning if a sweep of several bridges runs its baseline in no job, and its study has no run of it; else an empty string."""
    bridges: dict[str, None] = {}
    for job in jobs:
        if job.config.get("verdict") is None:  # of another app
            return ""
        chosen = OmegaConf.select(job.config, "hydra.runtime.choices.bridge", default="")
        bridges[bridge_of(job.folder.name) or chosen] = None
    baselines = {str(job.config.verdict.baseline) for job in jobs}
    studies = {job.folder.parent for job in jobs}
    there = {bridge_of(run.name) for study in studies if study.is_dir() for run in study.iterdir()}
    lacking = sorted(baselines - bridges.keys() - there)
    if len(bridges) < 2 or not lacking:
        return ""
    return (
        f"verdict.baseline={lacking[0]} is no bridge of this sweep ({', '.join(bridges)}): without its runs the report has no verdict. "
        "Add it to the sweep, or set verdict.baseline to one of these."
    )
