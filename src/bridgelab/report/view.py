"""One view of a run's predictions, with its text."""

import pandas as pd

from bridgelab.runs.study import Run


def read_view(run: Run, view: str, *, captions: bool) -> pd.DataFrame:
    """Read one view of a run's predictions from disk, indexed and sorted by example id.

    Args:
        run: a finished run.
        view: as in the column "view", such as "image".
        captions: whether to return the captions; else the answers.
    """
    table = run.predictions
    rows = table[(table["view"] == view) & ((table["kind"] == "caption") == captions)]
    return rows.set_index("id").sort_index()
