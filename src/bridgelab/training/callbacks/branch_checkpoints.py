"""Checkpoints from which smaller budgets cool down."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bridgelab.atomic import sync
from bridgelab.training.lightning_module import step_is_done


class BranchCheckpoints(pl.Callback):
    """Keep the checkpoints from which smaller budgets cool down. Place it after `ValidationCurve` and `CsvRows`.

    Args:
        branches: checkpoint to write -> the step after which it is written.
    """

    def __init__(self, branches: Mapping[Path, int]):
        self.branches = dict(branches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write those that are due."""
        for path, step in self.branches.items():
            if step == trainer.global_step and step_is_done(trainer, batch_idx):
                partial = path.with_suffix(".part")
                trainer.save_checkpoint(partial, weights_only=False)
                if trainer.is_global_zero:
                    sync(partial)
                    os.replace(partial, path)
