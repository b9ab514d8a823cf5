"""What a run leaves behind beside its config (`claim`): a metrics log, predictions, provenance."""

import csv
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from bridgelab import __version__
from bridgelab.train.claim import NOT_IDENTITY, config_hash
from bridgelab.train.recorded import read_config, read_record, regular
from bridgelab.train.whole import whole

log = logging.getLogger(__name__)
LOGGED = ("step", "lr", "train/loss", "val/loss", "val/accuracy")
VERSIONS = (
    "torch",
    "transformers",
    "pytorch-lightning",
    "open_clip_torch",
    "hydra-core",
    "numpy",
)


def write_json(path: Path, content: Any) -> None:
    """Write a file that is either whole or not there."""
    with whole(path) as aside:
        aside.write_text(json.dumps(content, indent=1))


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
        with whole(self.path) as aside, open(aside, "w", newline="") as file:
            writer = csv.DictWriter(file, LOGGED)
            writer.writeheader()
            writer.writerows(kept)


def write_predictions(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Predictions as parquet, one row an example and view, a column `tag_<name>` for each tag; atomically."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    with whole(path) as aside:
        pq.write_table(table, aside)


def repeat_untrained(directory: Path, config: DictConfig, fingerprints: Mapping[str, str]) -> bool:
    """Write the record of a run that trains nothing from that of another seed, which cannot differ; whether there is one.

    Args:
        directory: the run's own; the other one lies beside it.
        config: of this run.
        fingerprints: of what it would run on.
    """
    own = _seedless(read_config(directory))
    for run in sorted(path.parent for path in directory.parent.glob("*/metrics.json")):
        try:
            record = read_record(run, ("costs", "fingerprints"))
            untrained = record["costs"].get("trainable_parameters") == 0
            alike = (
                untrained and record["fingerprints"] == fingerprints and _seedless(read_config(run)) == own
            )
        except (ValueError, OSError) as error:
            log.warning("not looked at: %s", error)
            continue
        if alike:
            with whole(directory / "predictions.parquet") as aside:
                shutil.copyfile(regular(run / "predictions.parquet"), aside)
            record.pop("taken_from", None)  # of the other seed
            of_this = {"overrides": directory.name, "seed": config.seed, "data_seed": config.data_seed}
            write_json(directory / "metrics.json", record | of_this | {"config_hash": config_hash(config)})
            return True
    return False


def _seedless(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("seed", "data_seed", *NOT_IDENTITY)}


def provenance(root: Path, device: torch.device) -> dict[str, Any]:
    """The code's commit (None outside of git), the versions that ran, and what they ran on."""
    try:
        sha = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        sha = None
    versions = {"python": platform.python_version(), "bridgelab": __version__}
    for name in VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"git_sha": sha, "versions": versions, "machine": _machine(device)}


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    told = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", told.read_text() if told.exists() else "", re.MULTILINE)
    return f"{named[1] if named else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
