"""A metrics log as CSV, flushed at each line, that a resumed run goes on with."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab.runs.atomic import atomic_path

LOGGED = ("step", "lr", "train/loss", "val/loss", "val/accuracy")


class MetricsCsv(Logger):
    """`metrics.csv`, one row a time something is logged, flushed at once: it survives kill -9. The first process writes it.

    Args:
        directory: the run's folder.
    """

    def __init__(self, directory: str | Path):
        super().__init__()
        self.path = Path(directory) / "metrics.csv"

    @property
    def name(self) -> str:
        """The file's."""
        return self.path.name

    @property
    def version(self) -> str:
        """The run's folder."""
        return self.path.parent.name

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; what is not one of the columns is left out."""
        row = {key: f"{float(metrics[key]):.8g}" for key in LOGGED if key in metrics}
        if not row:
            return
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, LOGGED)
            if new:
                writer.writeheader()
            writer.writerow(row | {"step": step})

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget rows after a step, which a run that goes on from there writes again, and one that was cut short."""
        if not self.path.exists():
            return
        with open(self.path, newline="") as file:
            rows = [line for line in file if line.endswith("\n")]
        kept = [row for row in csv.DictReader(rows) if row["step"] and int(row["step"]) <= step]
        with atomic_path(self.path) as aside, open(aside, "w", newline="") as file:
            writer = csv.DictWriter(file, LOGGED)
            writer.writeheader()
            writer.writerows(kept)
