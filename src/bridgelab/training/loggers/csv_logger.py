"""`metrics.csv`, which a resumed run continues."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.atomic import atomic_path

COLUMNS = ("step", "lr", "train/loss", "val/loss", "val/accuracy")


class MetricsCsv(Logger):
    """A logger that appends one row per call to `metrics.csv` and closes the file, so that rows survive kill -9.

    Only the first process writes.

    Args:
        directory: the run's folder.
        columns: values to write; others are left out.
    """

    def __init__(self, directory: str | Path, columns: Sequence[str] = COLUMNS):
        super().__init__()
        self.columns = tuple(columns)
        self.path = Path(directory) / "metrics.csv"

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def version(self) -> str:
        """The name of the run's folder."""
        return self.path.parent.name

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row of the values that have a column."""
        row = {key: f"{float(metrics[key]):.8g}" for key in self.columns if key in metrics}
        if not row:
            return
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if new:
                writer.writeheader()
            writer.writerow(row | {"step": step})

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop rows after a step, which a run resumed from there writes again, and a row that was cut short."""
        if not self.path.exists():
            return
        with open(self.path, newline="") as file:
            rows = [line for line in file if line.endswith("\n")]
        kept = [row for row in csv.DictReader(rows) if row["step"] and int(row["step"]) <= step]
        with atomic_path(self.path) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(kept)
