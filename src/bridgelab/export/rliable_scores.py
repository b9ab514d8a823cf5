"""Scores as rliable takes them: for each bridge an array of runs × tasks (Agarwal et al. 2021, arXiv:2108.13264). Free of torch."""

import json
from collections.abc import Sequence

import numpy as np

from bridgelab.runs.predictions import IMAGE_VIEW
from bridgelab.runs.run import Run
from bridgelab.statistics.question_kinds import kind_masks


def rliable_scores(runs: Sequence[Run]) -> str:
    """Return JSON: the names of the `tasks`, which are kinds of questions, and `scores`, for each bridge [run, task].

    A score is the mean over the questions of a kind, between 0 and 1. To rliable goes
    `{name: numpy.array(rows) for name, rows in content["scores"].items()}`.

    Args:
        runs: that answered the same questions.
    Raises:
        ValueError: if there are no questions, or runs answered other kinds of them.
    """
    tasks: list[str] = []
    scores: dict[str, list[list[float]]] = {}
    for run in runs:
        rows = run.predictions
        rows = rows[rows["view"] == IMAGE_VIEW]
        means = {
            kind: float(np.mean(rows["score"].to_numpy()[mask])) for kind, mask in kind_masks(rows).items()
        }
        if not means:
            raise ValueError(
                f"{run.path} answered captions alone, and rliable's tasks are kinds of questions. Export them as csv."
            )
        tasks = tasks or list(means)
        if list(means) != tasks:
            raise ValueError(
                f"{run.path} answered {', '.join(means)}, and the first run {', '.join(tasks)}: the tasks of all runs must be the "
                "same. Export them one by one."
            )
        scores.setdefault(run.row, []).append(list(means.values()))
    return json.dumps({"tasks": tasks, "scores": scores}, ensure_ascii=False, indent=1)
