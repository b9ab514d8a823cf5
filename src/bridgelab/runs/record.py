"""What a run leaves behind beside its config (`identity`): predictions and the record itself."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from bridgelab.runs.atomic import atomic_path
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import NOT_IDENTITY, config_hash
from bridgelab.runs.record_schema import read_config, read_record, regular

log = logging.getLogger(__name__)


def write_json(path: Path, content: Any) -> None:
    """Write a file that is either whole or not there."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=1))


def write_predictions(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Predictions as parquet, one row an example and view, a column `tag_<name>` for each tag; atomically."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    with atomic_path(path) as aside:
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
            with atomic_path(directory / "predictions.parquet") as aside:
                shutil.copyfile(regular(run / "predictions.parquet"), aside)
            record.pop("taken_from", None)  # of the other seed
            of_this = {"overrides": directory.name, "seed": config.seed, "data_seed": config.data_seed}
            write_json(directory / RECORD, record | of_this | {"config_hash": config_hash(config)})
            return True
    return False


def _seedless(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("seed", "data_seed", *NOT_IDENTITY)}
