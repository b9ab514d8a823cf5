"""Slurm's queue, as a sweep looks at it: which of its jobs wait, run or have left, and what they left behind. Free of torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from bridgelab.console import get_console
from bridgelab.launch.pool import failure

POLL_SECONDS = 5.0
PATIENCE = 30.0  # seconds in which a shared disk has shown every node what another one wrote
GOING = ("RUNNING", "COMPLETING")


def states() -> dict[str, str]:
    """The state of each of this user's jobs in the queue, by id; of arrays `<job>_<task>`.

    Raises:
        RuntimeError: if squeue can't say.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return dict(line.split() for line in done.stdout.splitlines())


def wait(
    folders: Mapping[str, Path],
    logs: Mapping[str, Path],
    finished: str,
    look: Callable[[], Mapping[str, str]] = states,
) -> list[str]:
    """Wait until all jobs have left the queue; say a word on each when it has.

    A job that is queued again (preempted, or at its time's end) is in the queue all the while. One that leaves it without its
    record has failed, whatever Slurm calls it: jobs that were killed may be counted as completed, and there is not always
    accounting to ask.

    Args:
        folders: of each job, by its id.
        logs: what the first task of each prints.
        finished: the file that a job writes last.
        look: the queue, as `states` gives it.
    Returns:
        One line for each job that failed, naming it, its id and its log.
    """
    console = get_console()
    failed: list[str] = []
    left, done, began = dict(folders), 0, time.monotonic()
    gone: dict[str, float] = {}  # since when
    unanswered = 0
    with Live(console=console, refresh_per_second=1, transient=True) as view:
        while left:
            try:
                queue, unanswered = look(), 0
            except RuntimeError as error:  # a controller that is busy or being restarted is asked again
                unanswered += 1
                if unanswered == 1:
                    console.print(f"{error}; asking again", style="yellow", soft_wrap=True)
                time.sleep(POLL_SECONDS)
                continue
            now = time.monotonic()
            for job in [job for job in left if job not in queue]:
                folder = left[job]
                if os.path.exists(folder / finished):  # False where it can't be asked, unlike Path's
                    done += 1
                    console.print(
                        f"{done + len(failed)}/{len(folders)}  {folder.name}", markup=False, soft_wrap=True
                    )
                elif now - gone.setdefault(job, now) < PATIENCE:
                    continue
                else:
                    why = f"ended without writing {finished}"
                    raised, said = failure(logs[job])
                    failed.append(f"  {folder.name} (job {job}) {why}{raised}; see {logs[job]}")
                    console.print(f"{folder.name}  {why}:", style="bold red", soft_wrap=True)
                    for line in said:
                        console.print(f"    {line}", markup=False, soft_wrap=True)
                del left[job]
            running = sum(queue.get(job) in GOING for job in left)
            minutes = (now - began) / 60
            told = f"{done} done, {len(failed)} failed, {running} running, {len(left) - running} waiting, {minutes:.0f} min"
            view.update(Text(told))
            if left:
                time.sleep(POLL_SECONDS)
    return failed


def requeue() -> None:
    """Ask Slurm to queue this job again, with its place in an array.

    Raises:
        RuntimeError: if it does not.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"scontrol requeue {job}: {done.stderr.strip()}")


def requeue_when_warned() -> None:
    """In a Slurm job that submitit does not look after: SIGUSR1 (`sbatch --signal=USR1@120`) queues it again.

    From the first moment on: one that is warned while it imports must not die of it. Ignored, it stays ignored.
    """
    if "SUBMITIT_EXECUTOR" not in os.environ and signal.getsignal(signal.SIGUSR1) != signal.SIG_IGN:
        signal.signal(signal.SIGUSR1, _requeue)


def _requeue(number: int, _: Any) -> None:
    if os.environ.get("SLURM_PROCID", "0") == "0":
        requeue()
        sys.exit(1)  # Slurm would end it anyway, and the run is not done
    time.sleep(600)  # Slurm ends all tasks of the job; one that left before could take the first with it
