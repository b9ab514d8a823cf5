"""Scores of a bridge's captions, over its seeds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bridgelab.benchmark.metrics.cider import cider_d
from bridgelab.report.view import example_names, read_view
from bridgelab.runs.study import Run, Study
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.verdict import ATTRIBUTES

RECORDED = {"cider": "test/cider", "attributes": ATTRIBUTES}  # keys of the record's metrics
BOUNDS = {"cider": (0.0, 10.0), "attributes": (0.0, 1.0)}  # the least and the greatest possible score


def caption_scores(study: Study, runs: Sequence[Run], *, intervals: bool) -> dict[str, Estimate]:
    """Return "cider" and "attributes" as far as all runs have recorded them.

    A score has an interval if the captions reproduce the recorded value. Predictions keep one reference per image, so with several
    references the recorded value is returned without an interval.

    Args:
        study: the runs' study.
        runs: of one bridge.
        intervals: whether to compute CIDEr-D again from the captions, which have to be read for it.
    """
    images = study.captions["image"]
    if not len(images):
        return {}
    sample = Sample(study.clusters[images.index], intervals=intervals)
    seeds = Runs(tuple(run.data_seed for run in runs))
    scores = {"attributes": np.stack([run.scores["image"][images.index] for run in runs])}
    if intervals:
        names = example_names(study.captions)
        captions = [read_view(run, "image", captions=True).loc[names] for run in runs]
        scores["cider"] = np.stack([_cider(table) for table in captions])
    estimates = {}
    for name, key in RECORDED.items():
        recorded = np.array([run.record["metrics"].get(key, np.nan) for run in runs], dtype=np.float64)
        if np.isnan(recorded).any():
            continue
        if name in scores and np.allclose(scores[name].mean(axis=1), recorded, atol=1e-4):
            mean = sample.mean(scores[name], seeds, within_unit=name == "attributes")
            estimates[name] = replace(mean, bounds=BOUNDS[name])
        else:
            estimates[name] = Estimate(float(recorded.mean()), {})
    return estimates


def _cider(table: pd.DataFrame) -> np.ndarray:
    """CIDEr-D of each caption [caption]."""
    return cider_d(table["prediction"].astype(str).tolist(), [[str(target)] for target in table["target"]])[1]
