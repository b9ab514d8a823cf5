"""The jobs that a launcher was asked to run, kept in the study's folder, where `bridgelab status` reads them. Free of torch."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bridgelab.atomic import write_text
from bridgelab.launch.planned_steps import Work
from bridgelab.runs.locks import all_lock_holders, locked
from bridgelab.runs.record_schema import Checked, Malformed, checked, read_json
from bridgelab.runs.sweep import KEPT, begin_sweep

FILE = "sweep.json"
LOCK = ".sweep.lock"  # of a study's folder; every launcher shares it while it works
# The environment variable of a command that prints the report itself after the sweep.
REPORT_FOLLOWS = "BRIDGELAB_REPORT_FOLLOWS"
Steps = Annotated[float, Field(ge=0, le=1e12)]
FIX = "Delete it: the next sweep writes a new one."


class PlannedWork(Checked):
    """The steps of a job, with the fields of `launch.planned_steps.Work`."""

    search: str
    trained: Steps
    searched: Steps

    def as_work(self) -> Work:
        """Return the steps as estimates take them."""
        return Work(self.search, self.trained, self.searched)


class PlannedJob(Checked):
    """A job of a sweep.

    Attributes:
        name: of its run's folder.
        slurm_job: its id in Slurm's queue; None for a job of this machine.
        work: the steps that it trains; None if they are not known.
    """

    name: str
    slurm_job: str | None = None
    work: PlannedWork | None = None


class SweepPlan(Checked):
    """All jobs of a study's sweeps, in the order of the last one."""

    jobs: list[PlannedJob] = Field(default_factory=list)


@dataclass(frozen=True)
class Planned:
    """A job to note down: the folder of its run, its id in Slurm's queue if it has one, and its steps if they are known."""

    folder: Path
    slurm_job: str | None = None
    work: Work | None = None


def write_plan(jobs: Sequence[Planned]) -> None:
    """Note the jobs of a sweep in their study's folder.

    Keep a job of an earlier sweep if it has begun or was submitted to Slurm; keep all if another sweep is at work or this one adds a row.
    Drop the others, such as those of a mistyped sweep that was ended: they would be shown as waiting for ever.

    Nothing but `bridgelab status` needs the file, so a folder that can't be written is left to the jobs to complain about.
    """
    with contextlib.suppress(OSError):
        for study in dict.fromkeys(job.folder.parent for job in jobs):
            begin_sweep(study)
            own = {
                job.folder.name: PlannedJob(
                    name=job.folder.name, slurm_job=job.slurm_job, work=_planned(job.work)
                )
                for job in jobs
                if job.folder.parent == study
            }
            with locked(study / f".{FILE}.lock"):
                try:
                    all_stay = (study / KEPT).exists() or _others_at_work(study)
                    earlier = {
                        job.name: job
                        for job in read_plan(study).jobs
                        if job.name not in own and (all_stay or job.slurm_job or (study / job.name).exists())
                    }
                except Malformed:
                    earlier = {}  # rewritten
                plan = SweepPlan(jobs=[*earlier.values(), *own.values()])
                write_text(study / FILE, plan.model_dump_json(indent=1))


def _others_at_work(study: Path) -> bool:
    """Return whether a launcher in another process works on a study."""
    try:
        return bool(all_lock_holders(study / LOCK) - {os.getpid()})
    except OSError:
        return False  # the file does not exist


def _planned(work: Work | None) -> PlannedWork | None:
    return PlannedWork(**vars(work)) if work else None


def read_plan(study: Path) -> SweepPlan:
    """Return the jobs of a study's sweeps; none if it has no such file.

    Raises:
        Malformed: if the file is not one that a launcher writes.
    """
    path = study / FILE
    return checked(path, read_json(path, FIX), SweepPlan, FIX) if path.exists() else SweepPlan()
