"""A frame of a study as CSV, for pandas, R and spreadsheets. Free of torch."""

from typing import Any

import pandas as pd

from bridgelab.printable import as_csv_cell


def csv_frame(frame: pd.DataFrame) -> str:
    """Return a frame as CSV in which no text or name of a column is a formula of a spreadsheet: questions and answers are others' words."""
    texts = frame.select_dtypes(exclude=["number", "bool", "boolean"])
    shown = frame.assign(**{str(name): texts[name].map(_cell) for name in texts})
    return shown.rename(columns=as_csv_cell).to_csv(index=False)


def _cell(value: Any) -> Any:
    return as_csv_cell(value) if isinstance(value, str) else value
