"""Write a run's predictions and its record."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bridgelab.atomic import atomic_path, write_text


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1))


def write_predictions(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write predictions atomically as Parquet, with one row per example and view and a column `tag_<name>` per tag."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
