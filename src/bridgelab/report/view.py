"""One view of a run's predictions, with its text."""

import pandas as pd

from bridgelab.runs.study import Run


def read_view(run: Run, view: str, *, captions: bool) -> pd.DataFrame:
    """Read one view of a run's predictions from disk, indexed and sorted by the examples' names (`example_name`).

    Args:
        run: a finished run.
        view: as in the column "view", such as "image".
        captions: whether to return the captions; else the answers.
    """
    table = run.predictions
    rows = table[(table["view"] == view) & ((table["kind"] == "caption") == captions)]
    return rows.set_index(example_names(rows)).sort_index()


def example_name(kind: str, id: str) -> str:
    """Return a name that is unique over kinds, as ids are unique within one. The name of an answer is its id."""
    return id if kind == "answer" else f"{kind}: {id}"


def example_names(rows: pd.DataFrame) -> pd.Index:
    """Return the name of the example in each row, of a table with the columns `kind` and `id`."""
    return pd.Index([example_name(kind, id) for kind, id in zip(rows["kind"], rows["id"], strict=True)])
