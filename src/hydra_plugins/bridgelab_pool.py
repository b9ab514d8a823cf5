"""The Hydra launcher `hydra/launcher=pool`. Every Hydra app imports this module, so it imports nothing heavy."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# Overrides of these keys concern the sweep, not its jobs.
_SWEEP_ONLY = ("hydra.mode", "hydra.sweep", "hydra/sweeper", "hydra.launcher", "hydra/launcher", "hydra.run")


class PoolLauncher(Launcher):
    """Launcher that runs each job of a sweep in a fresh process, several at a time; see `bridgelab.launch.pool`.

    Args:
        command: a module and its first arguments, run as `python -m`.
        finished: the name of the file that a job writes last; a job that has it is skipped.
        slots: jobs at a time.
        gpus_per_job: GPUs of a slot, if a job trains on GPUs; None gives the most that a job's trainer takes.
        threads: threads of a job.
        preload: modules that each slot without GPUs imports once for all its jobs.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        finished: str,
        slots: int | None,
        gpus_per_job: int | None,
        threads: int | None,
        preload: Sequence[str],
    ) -> None:
        self.command = list(command)
        self.finished = finished
        self.slots = slots
        self.gpus_per_job = gpus_per_job
        self.threads = threads
        self.preload = list(preload)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from bridgelab.runs.sweep import multirun_bytes

        self.context = hydra_context
        self.config = config
        self.multirun = multirun_bytes(Path(config.hydra.sweep.dir))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for all of them.

        Raises:
            CompactHydraException: at the end, naming the jobs that failed, unless the sweeper judges these; or at once, if none can be run.
        """
        from bridgelab.launch.sweep_plan import LOCK
        from bridgelab.runs.locks import shared_lock

        with shared_lock(Path(self.config.hydra.sweep.dir) / LOCK):
            return self._launch(job_overrides, initial_job_idx)

    def _launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bridgelab.console import get_console
        from bridgelab.launch.header import print_header
        from bridgelab.launch.job import LOG, Job
        from bridgelab.launch.job_return import ended_job, finished_job, judges_failures
        from bridgelab.launch.pool import Stopped, run_pool
        from bridgelab.launch.slots import slot_environments
        from bridgelab.launch.sweep_check import sweep_jobs
        from bridgelab.launch.sweep_plan import REPORT_FOLLOWS, Planned, write_plan
        from bridgelab.printable import shown
        from bridgelab.runs.sweep import multirun_kept_if_refused

        # A sweeper such as Optuna's launches several times: what refuses its later jobs does not refuse the sweep.
        kept = multirun_kept_if_refused(Path(self.config.hydra.sweep.dir), self.multirun)
        try:
            with contextlib.nullcontext() if initial_job_idx else kept:
                sweep = sweep_jobs(self.context, self.config, job_overrides, initial_job_idx)
                jobs = [
                    Job(one.folder, [*self.command, *self._arguments(one.overrides, one.folder)], one.work)
                    for one in sweep
                ]
                trainers: list[Any] = [one.config.get("trainer") or {} for one in sweep]
                environments = slot_environments(self.slots, self.gpus_per_job, self.threads, trainers)
            if any(job.work and not job.wrote(self.finished) for job in jobs):  # work: of a study's sweep
                print_header(get_console(), sweep, f"{len(environments)} at a time", LOG)
            write_plan([Planned(job.folder, work=job.work) for job in jobs])
            failed = run_pool(jobs, environments, self.finished, self.preload)
        except ValueError as error:
            raise CompactHydraException(str(error)) from error  # Hydra prints these without a traceback
        except Stopped as stop:
            print(f"\n{stop}")
            raise SystemExit(130) from None
        if failed and judges_failures(self.config):
            print("\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
            return [ended_job(one.overrides, one.folder, self.finished) for one in sweep]
        if failed:
            again = "The same command runs them again; what is done stays."
            raise CompactHydraException(
                "\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed, again])
            )
        study, following = shown(jobs[0].folder.parent), ""
        if self.command[-1] != "train":
            following = f" Their records are in {study}."
        elif not os.environ.get(REPORT_FOLLOWS):
            following = f" Next: bridgelab report {study}"
        print(f"{len(jobs)} jobs are done.{following}" if len(jobs) > 1 else f"The job is done.{following}")
        return [
            finished_job(overrides, job.folder) for overrides, job in zip(job_overrides, jobs, strict=True)
        ]

    def _arguments(self, overrides: Sequence[str], folder: Path) -> list[str]:
        from bridgelab.runs.quoted import quoted

        hydra: Any = self.config.hydra
        return [
            f"--config-name={hydra.job.config_name}",
            *self._sources(),
            *(one for one in hydra.overrides.hydra if not one.lstrip("+~").startswith(_SWEEP_ONLY)),
            *overrides,
            "hydra.mode=RUN",
            f"hydra.run.dir={quoted(str(folder))}",
        ]

    def _sources(self) -> list[str]:
        """Return the options by which a job reads the configs that this sweep reads, where these are not the package's own."""
        from bridgelab.config.root import config_root

        options = []
        for source in self.config.hydra.runtime.config_sources:
            path = source.path if source.schema == "file" else f"{source.schema}://{source.path}"
            if source.provider == "command-line":
                options.append(f"--config-dir={path}")
            elif source.provider == "main" and path != str(config_root() / "conf"):
                options.append(f"--config-path={path}")
        return options
