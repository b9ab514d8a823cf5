"""A run's answers to one kind of example, which other tools call a task. Free of torch."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bridgelab.runs.predictions import IMAGE_VIEW
from bridgelab.runs.run import Run
from bridgelab.statistics.verdict import ATTRIBUTES

TAG = "tag_"
CORPUS = "test/cider"  # recorded where captions are scored over the corpus
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A run's answers to one kind of example, with the example's own image.

    Args:
        name: `<benchmark>_<kind>`, such as `gqa_answer`.
        rows: of predictions.parquet, numbered from 0.
    """

    name: str
    rows: pd.DataFrame


def tasks(run: Run) -> Iterator[Task]:
    """Yield a run's tasks; answers with another image, or from a caption, are left out.

    Captions that are scored over the corpus alone are left out too, with a warning: a row's `score` there is 1 only for a
    caption that equals a reference word for word.
    """
    rows = run.predictions
    rows = rows[rows["view"] == IMAGE_VIEW]
    metrics = run.record.get("metrics", {})
    if CORPUS in metrics and ATTRIBUTES not in metrics and (rows["kind"] == "caption").any():
        fix = f"Read {CORPUS} in its metrics.json, or take the captions from --format csv."
        log.warning("captions of %s are left out: they have no score for each example. %s", run.name, fix)
        rows = rows[rows["kind"] != "caption"]
    for kind, own in rows.groupby("kind", sort=True):
        texts = own.fillna({"target": "", "prediction": ""})
        yield Task(f"{run.record['benchmark']}_{kind}", texts.reset_index(drop=True))


def log_likelihood(row: Mapping[str, Any]) -> float | None:
    """Return the log-probability of an example's target; None if it was not recorded, or JSON has no word for it."""
    value = row.get("log_likelihood")
    return float(value) if value is not None and math.isfinite(value) else None


def tags(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags of an example without those that it lacks, or that JSON has no word for."""
    return {
        str(name).removeprefix(TAG): value
        for name, value in row.items()
        if str(name).startswith(TAG) and pd.notna(value) and value not in (math.inf, -math.inf)
    }
