"""Accuracy at smaller budgets, by cool-downs that branch off one run at a constant rate.

A validation curve says little about what more training would bring, since it is flat wherever its schedule has ended. So
accuracy is shown at several budgets, each with a rate that falls to zero at its end. With `warmup_stable_decay`, a run of B
steps has the rates of the run of T > B steps up to step (1 − decay) B, but for its warm-up, which is a share of T here. The
checkpoint of that step is kept, and the remaining decay · B steps are trained from it.
Source: Hägele et al. 2024, arXiv:2405.18392.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.runs.record import write_json

FOLDER = "budgets"


def smaller_budgets(steps: int, shares: Sequence[float], decay: float) -> list[int]:
    """Return the steps of each smaller budget in ascending order, without those too short to cool down.

    Args:
        steps: of the whole run.
        shares: each budget's share of them, between 0 and 1.
        decay: the share of a budget in which its rate falls.
    """
    ends = {round(share * steps) for share in shares} - {steps}
    return sorted(end for end in ends if 0 < branch_step(end, decay) < end)


def branch_step(end: int, decay: float) -> int:
    """Return the step at which a budget's rate begins to fall."""
    return round((1 - decay) * end)


def branch_points(
    directory: Path, ends: Sequence[int], decay: float, *, anew: bool = False
) -> dict[Path, int]:
    """Return the checkpoints from which budgets cool down, and their steps, without the budgets that are finished.

    Args:
        directory: the run's folder.
        ends: the budgets' steps.
        decay: the share of a budget in which its rate falls.
        anew: whether the run begins at its first step. Then the first process removes what an earlier training left.
    Raises:
        ValueError: if the folder of the budgets is a link.
    """
    if (directory / FOLDER).is_symlink():  # what it points to is not this run's
        raise ValueError(
            f"{directory / FOLDER} is a link, and budgets are a folder of the run itself. Remove the link."
        )
    (directory / FOLDER).mkdir(exist_ok=True)
    if anew and getattr(rank_zero_only, "rank", 0) == 0:
        for path in (directory / FOLDER).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return {
        directory / FOLDER / f"{end}.ckpt": branch_step(end, decay)
        for end in ends
        if anew or not _result_path(directory, end).exists()
    }


def cool_down(
    directory: Path, ends: Sequence[int], train: Callable[[int, Path, Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Finish each smaller budget once, and delete its checkpoints when its result is written.

    All processes of a run train together, and the first one alone writes and deletes.

    Args:
        directory: the run's folder.
        ends: the budgets' steps.
        train: steps, the checkpoint to start from, a folder for the branch's own checkpoints -> validation metrics.
    Returns:
        {"steps", and what `train` returned} of each budget.
    """
    results = []
    for end in ends:
        path, branch = _result_path(directory, end), directory / FOLDER / str(end)
        if path.exists():
            result = json.loads(path.read_text())
        else:
            branch.mkdir(exist_ok=True)
            result = {"steps": end, **train(end, directory / FOLDER / f"{end}.ckpt", branch)}
        if getattr(rank_zero_only, "rank", 0) == 0:
            if not path.exists():
                write_json(path, result)
            shutil.rmtree(branch, ignore_errors=True)
            (directory / FOLDER / f"{end}.ckpt").unlink(missing_ok=True)
        results.append(result)
    return results


def _result_path(directory: Path, end: int) -> Path:
    return directory / FOLDER / f"{end}.json"
