"""Accuracy at smaller budgets, by cool-downs that branch off one run at a constant rate.

A curve says little of what more training would bring: it is flat wherever its schedule has ended. So accuracy is shown at
several budgets, each with a rate that falls to zero at its end. With `warmup_stable_decay` a run of B steps is the run of
T > B steps up to (1 − decay) B; there its checkpoint is kept, and the rest, decay · B, is trained from it.
Source: Hägele et al. 2024, arXiv:2405.18392.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bridgelab.runs.record import write_json
from bridgelab.training.lightning_module import step_is_done

FOLDER = "budgets"


def smaller(steps: int, shares: Sequence[float], decay: float) -> list[int]:
    """The steps of each smaller budget, in ascending order, without those that are too short to cool down.

    Args:
        steps: of the whole run.
        shares: of them, each between 0 and 1.
        decay: the share of a budget in which its rate falls.
    """
    ends = {round(share * steps) for share in shares} - {steps}
    return sorted(end for end in ends if 0 < branch_step(end, decay) < end)


class BranchCheckpoints(pl.Callback):
    """Keep the checkpoints from which smaller budgets cool down. After `Curve` and `Rows`, whose state it holds.

    Args:
        points: path -> the step after which it is written.
    """

    def __init__(self, points: Mapping[Path, int]):
        self.points = dict(points)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write those whose time it is."""
        for path, step in self.points.items():
            if step == trainer.global_step and step_is_done(trainer, batch_idx):
                aside = path.with_suffix(".part")
                trainer.save_checkpoint(aside, weights_only=False)
                if trainer.is_global_zero:
                    os.replace(aside, path)


def branch_points(directory: Path, ends: Sequence[int], decay: float) -> dict[Path, int]:
    """Where the cool-downs of some budgets begin: checkpoint -> step, for those that are not finished.

    Args:
        directory: the run's own.
        ends: the budgets' steps.
        decay: the share of a budget in which its rate falls.
    """
    (directory / FOLDER).mkdir(exist_ok=True)
    return {
        directory / FOLDER / f"{end}.ckpt": branch_step(end, decay)
        for end in ends
        if not _told(directory, end).exists()
    }


def cool_down(
    directory: Path, ends: Sequence[int], train: Callable[[int, Path, Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Finish each smaller budget once; its checkpoints go when its figures are written.

    Args:
        directory: the run's own.
        ends: the budgets' steps.
        train: steps, the checkpoint to begin with, a folder for the branch's own checkpoints -> validation metrics.
    Returns:
        By budget {"steps": …, and what `train` returned}.
    """
    found = []
    for end in ends:
        told, branch = _told(directory, end), directory / FOLDER / str(end)
        if not told.exists():
            branch.mkdir(exist_ok=True)
            values = train(end, directory / FOLDER / f"{end}.ckpt", branch)
            write_json(told, {"steps": end, **values})
        shutil.rmtree(branch, ignore_errors=True)
        (directory / FOLDER / f"{end}.ckpt").unlink(missing_ok=True)
        found.append(json.loads(told.read_text()))
    return found


def branch_step(end: int, decay: float) -> int:
    """The step at which a budget's rate begins to fall."""
    return round((1 - decay) * end)


def _told(directory: Path, end: int) -> Path:
    return directory / FOLDER / f"{end}.json"
