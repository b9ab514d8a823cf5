"""The Hydra launcher `hydra/launcher=slurm`. Every Hydra app imports this module, so it imports nothing heavy."""

import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from omegaconf import DictConfig

Shape = tuple[int, int, int]  # nodes, tasks per node, GPUs per node

MAX_TIMEOUTS = 1000  # times that a job may reach its time limit and be requeued
# submitit's names of all executors.
UNPREFIXED = ("timeout_min", "cpus_per_task", "mem_gb", "name", "stderr_to_stdout")


class SlurmLauncher(BaseSubmititLauncher):
    """Launcher that submits the jobs of a sweep to Slurm by submitit, in one array per shape.

    A job gets `trainer.num_nodes` nodes, with `trainer.devices` tasks and GPUs on each, so that Slurm and Lightning agree.
    Finished jobs are not submitted. Jobs that an earlier sweep submitted are followed while they are in the queue. A job that
    fails does not stop the others.

    Args:
        finished: the name of the file that a job writes last.
        submitit_folder: the folder of submitit's own files.
        command: the pool's, which `conf/align.yaml` sets for every launcher; not used here.
        params: arguments of submitit's AutoExecutor, without the prefix `slurm_`.
    """

    def __init__(self, *, finished: str, submitit_folder: str, command: Any = None, **params: Any) -> None:
        super().__init__(**params)
        self.finished, self.submitit_folder = finished, submitit_folder

    def setup(self, *, config: DictConfig, **context: Any) -> None:
        from bridgelab.runs.sweep import multirun_bytes

        super().setup(config=config, **context)
        self.multirun = multirun_bytes(Path(config.hydra.sweep.dir))

    def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
        """Run the job inside Slurm: register the config's resolvers first, and raise on failure so that Slurm sees it."""
        import bridgelab.training.main  # noqa: F401

        done = super().__call__(*args, **kwargs)
        done.return_value  # noqa: B018 - raises the exception of a run that failed
        return done

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Return what submitit requeues.

        Raises:
            RuntimeError: if the run has twice reached its time limit without progress.
        """
        from bridgelab.launch.requeued import refuse_without_progress

        refuse_without_progress(60.0 * self.params["timeout_min"])
        return super().checkpoint(*args, **kwargs)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for all of them.

        Raises:
            CompactHydraException: at the end, naming the jobs that failed, unless the sweeper judges these; or at once, if none can be run.
        """
        from bridgelab.console import get_console
        from bridgelab.launch.header import print_header
        from bridgelab.launch.job import Job
        from bridgelab.launch.job_return import ended_job, finished_job, judges_failures
        from bridgelab.launch.slurm import still_queued, wait
        from bridgelab.launch.sweep_check import sweep_jobs
        from bridgelab.launch.sweep_plan import Planned, write_plan
        from bridgelab.runs.sweep import multirun_kept_if_refused

        assert self.config is not None
        assert self.hydra_context is not None
        # A sweeper such as Optuna's launches several times: what refuses its later jobs does not refuse the sweep.
        kept = multirun_kept_if_refused(Path(self.config.hydra.sweep.dir), self.multirun)
        try:
            with contextlib.nullcontext() if initial_job_idx else kept:
                jobs = sweep_jobs(self.hydra_context, self.config, job_overrides, initial_job_idx)
                shapes = [shape(job.config) for job in jobs]
                earlier = still_queued([job.folder for job in jobs])
        except (ValueError, RuntimeError) as error:
            raise CompactHydraException(str(error)) from error  # Hydra prints these without a traceback
        unfinished = [
            (one, job)
            for one, job in zip(shapes, jobs, strict=True)
            # False if it can't be read, where Path.exists raises.
            if not os.path.exists(job.folder / self.finished)
        ]
        if len(unfinished) < len(jobs):
            print(f"{len(jobs) - len(unfinished)} of {len(jobs)} jobs are finished already")
        if unfinished and jobs[0].work:  # work: of a study's sweep
            print_header(get_console(), jobs, "in Slurm's queue", "train.log")
        folders: dict[str, Path] = {}
        logs: dict[str, Path] = {}
        for _, job in unfinished:
            if id := earlier.get(job.folder):
                self._follow(id, job.folder, folders, logs)
        if folders:
            print(f"{len(folders)} of {len(jobs)} jobs are in Slurm's queue already")
        new = sorted((each for each in unfinished if each[1].folder not in earlier), key=lambda each: each[0])
        for one, group in itertools.groupby(new, key=lambda each: each[0]):
            self._submit(one, [job for _, job in group], folders, logs)
        ids = {folder: job for job, folder in folders.items()}
        write_plan([Planned(job.folder, ids.get(job.folder), job.work) for job in jobs])
        steps = {job.folder: job.work for job in jobs}
        queued = {id: Job(folder, (), steps[folder]) for id, folder in folders.items()}
        try:
            failed = wait(queued, logs, self.finished)
        except KeyboardInterrupt:
            arrays = " ".join(sorted({job.split("_")[0] for job in folders}))
            print(
                f"\nthe jobs keep running. To end them: scancel {arrays}. The same command follows them, and does what is missing."
            )
            raise SystemExit(130) from None
        if failed and judges_failures(self.config):
            print("\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
            return [ended_job(job.overrides, job.folder, self.finished) for job in jobs]
        if failed:
            raise CompactHydraException("\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
        return [finished_job(job.overrides, job.folder) for job in jobs]

    def _submit(
        self, shape: Shape, jobs: Sequence[Any], folders: dict[str, Path], logs: dict[str, Path]
    ) -> None:
        """Submit jobs of one shape as an array, and add each one's folder and log under its id."""
        executor = self._executor(shape)
        submitted = executor.map_array(self, *zip(*map(self._arguments, jobs), strict=True))
        for slurm_job, job in zip(submitted, jobs, strict=True):
            self._follow(slurm_job.job_id, job.folder, folders, logs)
        first, last = submitted[0].job_id, submitted[-1].job_id
        print(
            f"{len(jobs)} job{'s'[: len(jobs) > 1]} of {shape[0]} × {shape[1]} tasks: {first}"
            + (f" to {last}" if first != last else "")
        )

    def _follow(self, id: str, folder: Path, folders: dict[str, Path], logs: dict[str, Path]) -> None:
        """Add the folder and the log of a job in the queue under its id."""
        from submitit.core.utils import JobPaths

        paths = JobPaths(self.submitit_folder, job_id=id)
        folders[id] = folder
        logs[id] = paths.stdout if self.params.get("stderr_to_stdout") else paths.stderr

    def _executor(self, shape: Shape) -> Any:
        """Return submitit's executor for jobs of a shape.

        Raises:
            CompactHydraException: if there is no Slurm here.
        """
        import submitit

        nodes, tasks, gpus = shape
        try:
            executor = submitit.AutoExecutor(
                self.submitit_folder, cluster="slurm", slurm_max_num_timeout=MAX_TIMEOUTS
            )
        except RuntimeError as error:
            raise CompactHydraException(
                f"{error}. A sweep by hydra/launcher=slurm starts on a machine with sbatch; without Slurm leave "
                "hydra/launcher out."
            ) from error
        params = {
            name if name in UNPREFIXED else f"slurm_{name}": value for name, value in self.params.items()
        }
        if gpus:
            params["gpus_per_node"] = gpus
        executor.update_parameters(nodes=nodes, tasks_per_node=tasks, **params)
        return executor

    def _arguments(self, job: Any) -> tuple[list[str], str, int, str, Mapping[type, Singleton]]:
        """Return the arguments of `__call__`."""
        return (
            list(job.overrides),
            "hydra.sweep.dir",
            job.number,
            f"job_id_for_{job.number}",
            Singleton.get_state(),
        )


def shape(config: DictConfig) -> Shape:
    """Return the nodes of a job's trainer, the tasks on each, and the GPUs on each.

    Raises:
        ValueError: if the trainer does not fix the kind and the number of devices, and the number of nodes.
    """
    trainer = config.trainer
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    for name, value in (("devices", devices), ("num_nodes", nodes)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"trainer.{name}={value}: on Slurm it must be a number of 1 or more, since Slurm is asked for that many. "
                f"Set trainer.{name}."
            )
    accelerator = trainer.get("accelerator", "auto")
    if accelerator == "auto":  # which would train on the CPU, as Slurm gives no GPU that it was not asked for
        raise ValueError(
            "trainer.accelerator=auto: on Slurm it must be gpu or cpu, since Slurm is asked for GPUs before a node is known. "
            "Set trainer.accelerator, or trainer=gpu."
        )
    return nodes, devices, devices if accelerator in ("gpu", "cuda") else 0
