"""Makes `hydra/launcher=slurm` known to Hydra, which imports this in every app: so nothing heavy here."""

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

ENOUGH = 1000  # times that a job may reach its time limit and be queued again
SUBMITIT = (
    "timeout_min",
    "cpus_per_task",
    "mem_gb",
    "name",
    "stderr_to_stdout",
)  # it names these without a prefix


class SlurmLauncher(BaseSubmititLauncher):
    """Each job of a sweep as a Slurm job, all of one shape in one array, by submitit.

    A job gets as many nodes as `trainer.num_nodes` says, and as many tasks and GPUs on each as `trainer.devices`, so that Slurm
    and Lightning can't disagree. Jobs that are finished are not submitted; of those that fail the others hear nothing.

    Args:
        finished: the file that a job writes last.
        submitit_folder: for submitit's own files.
        params: what submitit's AutoExecutor takes, without `slurm_` in front of it.
    """

    def __init__(self, *, finished: str, submitit_folder: str, **params: Any) -> None:
        super().__init__(**params)
        self.finished, self.submitit_folder = finished, submitit_folder

    def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
        """In the job: what configs call is made known first, and a failure is one in Slurm's eyes too."""
        import bridgelab.training.main  # noqa: F401

        done = super().__call__(*args, **kwargs)
        done.return_value  # noqa: B018 - where the run has failed, this raises what it raised
        return done

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for all of them.

        Raises:
            CompactHydraException: at the end, naming the jobs that failed; or at once, if none can be run.
        """
        import submitit
        from rich import print as say

        from bridgelab.launch.job_return import finished_job
        from bridgelab.launch.slurm import wait
        from bridgelab.launch.sweep_check import SweepJob, sweep_jobs

        assert self.config is not None
        assert self.hydra_context is not None
        try:
            jobs = sweep_jobs(self.hydra_context, self.config, job_overrides, initial_job_idx)
            shapes = [shape(job.config) for job in jobs]
        except ValueError as error:
            raise CompactHydraException(str(error)) from error  # Hydra prints these without a traceback
        todo = [
            (one, job)
            for one, job in zip(shapes, jobs, strict=True)
            if not os.path.exists(job.folder / self.finished)  # False where it can't be asked, unlike Path's
        ]
        if len(todo) < len(jobs):
            say(f"{len(jobs) - len(todo)} of {len(jobs)} jobs are finished already")
        folders: dict[str, Path] = {}
        logs: dict[str, Path] = {}
        by_shape = sorted(todo, key=lambda each: each[0])
        for (nodes, tasks, gpus), group in itertools.groupby(by_shape, key=lambda each: each[0]):
            alike: list[SweepJob] = [job for _, job in group]
            try:
                executor = submitit.AutoExecutor(
                    self.submitit_folder, cluster="slurm", slurm_max_num_timeout=ENOUGH
                )
            except RuntimeError as error:
                raise CompactHydraException(
                    f"{error}. A sweep by hydra/launcher=slurm starts on a machine with sbatch; without Slurm leave "
                    "hydra/launcher out."
                ) from error
            given = {key if key in SUBMITIT else f"slurm_{key}": value for key, value in self.params.items()}
            executor.update_parameters(
                nodes=nodes, tasks_per_node=tasks, **({"gpus_per_node": gpus} if gpus else {}), **given
            )
            submitted = executor.map_array(self, *zip(*map(self._arguments, alike), strict=True))
            for job, one in zip(submitted, alike, strict=True):
                folders[job.job_id] = one.folder
                merged = self.params.get("stderr_to_stdout")
                logs[job.job_id] = job.paths.stdout if merged else job.paths.stderr
            first, last = submitted[0].job_id, submitted[-1].job_id
            say(
                f"{len(alike)} job{'s'[: len(alike) > 1]} of {nodes} × {tasks} tasks: {first}"
                + (f" to {last}" if first != last else "")
            )
        try:
            failed = wait(folders, logs, self.finished)
        except KeyboardInterrupt:
            own = " ".join(sorted({job.split("_")[0] for job in folders}))
            say(f"\nthe jobs go on. To end them: scancel {own}. Once they have left the queue, the same command "
                "does what is missing.")  # fmt: skip
            raise SystemExit(130) from None
        if failed:
            raise CompactHydraException("\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
        return [finished_job(job.overrides, job.folder) for job in jobs]

    def _arguments(self, job: Any) -> tuple[list[str], str, int, str, Mapping[type, Singleton]]:
        """What `__call__` takes."""
        return (
            list(job.overrides),
            "hydra.sweep.dir",
            job.number,
            f"job_id_for_{job.number}",
            Singleton.get_state(),
        )


def shape(config: DictConfig) -> tuple[int, int, int]:
    """Nodes, tasks on each, and GPUs on each, of a job's trainer.

    Raises:
        ValueError: if the trainer leaves a number open.
    """
    trainer = config.trainer
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    for name, value in (("devices", devices), ("num_nodes", nodes)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"trainer.{name}={value}: on Slurm it must be a number of 1 or more, since as many are asked for. "
                f"Set trainer.{name}."
            )
    on_gpu = trainer.get("accelerator") in ("gpu", "cuda")
    return nodes, devices, devices if on_gpu else 0
