"""What the Hydra apps of `bridgelab train` and `bridgelab align` share: errors in one line, and one process per run."""

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bridgelab.runs.locks import locked
from bridgelab.training.console import report_failure

# Of a process, by its launcher: Lightning's own, torchrun and Slurm.
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "GROUP_RANK", "SLURM_PROCID")
log = logging.getLogger(__name__)


@contextmanager
def one_line_errors(directory: Path, log_name: str = "train.log") -> Iterator[None]:
    """End the process on Ctrl-C or an error with one line on the terminal, and write the traceback to the log.

    Args:
        directory: the run's folder.
        log_name: the log in it.
    Raises:
        SystemExit: on Ctrl-C or an error.
    """
    try:
        yield
    except KeyboardInterrupt:
        log.warning("stopped. The same command resumes from here.")
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        report_failure(error, directory, log_name)
        raise SystemExit(1) from None  # Hydra would print the traceback again


@contextmanager
def sole_process(directory: Path) -> Iterator[None]:
    """Hold the lock of a run's folder. The first process of the run holds it for all of them.

    Raises:
        ValueError: if another process runs it.
    """
    with locked(directory / "lock", wait=False) if is_first(os.environ) else nullcontext(True) as own:
        if not own:
            raise ValueError(
                f"{directory} is being run by another process, and a run has only one. Wait for it, or end it; the same command then "
                "resumes from its last checkpoint."
            )
        yield


def is_first(environment: Mapping[str, str]) -> bool:
    """Return whether this is the first of a run's processes, before Lightning has set their ranks.

    The first of a machine is not always the first of all: torchrun and Lightning number machines by GROUP_RANK or NODE_RANK. Inside
    Slurm torchrun numbers machines anew, so its own RANK decides.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return environment.get("RANK", "0") == "0"
    return all(environment.get(name, "0") == "0" for name in RANKS)
