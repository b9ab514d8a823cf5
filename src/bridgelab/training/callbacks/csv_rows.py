"""Rows of training steps in `metrics.csv`."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from bridgelab.training.lightning_module import step_is_done
from bridgelab.training.loggers.csv_logger import MetricsCsv


class CsvRows(pl.Callback):
    """Write a row every few steps, before the checkpoint of that step.

    Lightning calls its own loggers after all callbacks. A run that is killed between its checkpoint and the row would go on
    without the row.

    Args:
        files: to write to.
        every: steps between two rows.
    """

    def __init__(self, files: Sequence[MetricsCsv], every: int):
        self.files, self.every = files, every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a row if one is due."""
        if step_is_done(trainer, batch_idx) and trainer.global_step % self.every == 0:
            row = {name: float(value) for name, value in trainer.callback_metrics.items()}
            for file in self.files:
                file.log_metrics(row, trainer.global_step)
