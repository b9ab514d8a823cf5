"""All answers of a study as one tidy pandas frame. Free of torch."""

from collections.abc import Sequence

import pandas as pd

from bridgelab.runs.run import Run


def answer_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per run, example and view, in the order of the runs.

    Columns: `bridge`, `seed`, `data_seed` and `run` (the name of its folder); one for each factor that the study varies, such as
    `budget.tokens`; then `id`, `image`, `kind`, `view` (`image`, `shuffled`, `captioned`), `prompt`, `target`, `prediction`, `score`,
    `log_likelihood` of the target, `log_likelihoods` of the choices, `majority` and `majority_of_family` (the most frequent
    training answers), and `tag_<name>` for each tag. A column that a run does not have is empty there.

    Args:
        runs: of a study.
    """
    frames = []
    for run in runs:
        rows = run.predictions
        own = {
            "bridge": run.bridge,
            "seed": run.seed,
            "data_seed": run.data_seed,
            "run": run.name,
            **run.levels,
        }
        for place, (name, value) in enumerate(own.items()):
            rows.insert(place, name, value)
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)
