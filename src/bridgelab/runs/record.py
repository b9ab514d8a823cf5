"""Write a run's predictions and its record."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from bridgelab.atomic import atomic_path, write_text
from bridgelab.runs.finished import RECORD
from bridgelab.runs.identity import NOT_IDENTITY, config_hash
from bridgelab.runs.record_schema import read_config, read_record, regular

log = logging.getLogger(__name__)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1))


def write_predictions(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write predictions atomically as Parquet, with one row per example and view and a column `tag_<name>` per tag."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def repeat_untrained(directory: Path, config: DictConfig, fingerprints: Mapping[str, str]) -> bool:
    """Copy the record of a run that trains nothing from another seed, and return whether there is one to copy.

    Without training, runs of different seeds have the same predictions.

    Args:
        directory: the run's directory, beside those of other seeds.
        config: the run's config.
        fingerprints: fingerprints of the frozen models and the data.
    """
    expected = _without_seeds(read_config(directory))
    for run in sorted(path.parent for path in directory.parent.glob("*/metrics.json")):
        try:
            record = read_record(run, ("costs", "fingerprints"))
            untrained = record["costs"].get("trainable_parameters") == 0
            alike = (
                untrained
                and record["fingerprints"] == fingerprints
                and _without_seeds(read_config(run)) == expected
            )
        except (ValueError, OSError) as error:
            log.warning("not looked at: %s", error)
            continue
        if alike:
            with atomic_path(directory / "predictions.parquet") as temporary:
                shutil.copyfile(regular(run / "predictions.parquet"), temporary)
            record.pop("taken_from", None)  # which concerns the other seed
            of_this = {"overrides": directory.name, "seed": config.seed, "data_seed": config.data_seed}
            write_json(directory / RECORD, record | of_this | {"config_hash": config_hash(config)})
            return True
    return False


def _without_seeds(config: Any) -> dict[str, Any]:
    """Return a config without its seeds, and without what does not matter where nothing is trained."""
    without = ("seed", "data_seed", "trainer", *NOT_IDENTITY)
    return {key: value for key, value in config.items() if key not in without}
