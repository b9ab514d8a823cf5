"""The evidence of the verdict: the baseline's difference from one comparator by kind of question, beside ±δ."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import kind_label, layered, number
from bridgelab.report.charts.palette import GREY, row_styles
from bridgelab.report.matrix import Matrix

ROW_HEIGHT = 30  # pixels
SHAPE_SIZE = 80  # square pixels


def difference_numbers(verdict: Matrix, comparator: str) -> pd.DataFrame:
    """Return one row for each kind of question, in points; the interval is the one that decides the outcome."""
    return pd.DataFrame(
        {
            "kind": kind_label(kind),
            "outcome": cell.outcome,
            "difference": round(cell.difference, 1),
            "low": None if cell.low != cell.low else round(cell.low, 1),
            "high": None if cell.high != cell.high else round(cell.high, 1),
        }
        for kind in verdict.kinds
        if (cell := verdict.cells.get((comparator, kind)))
    )


def difference_chart(verdict: Matrix, comparator: str) -> alt.LayerChart:
    """Draw the differences from one comparator with the intervals that decide. The grey zone lies within ±δ."""
    frame = difference_numbers(verdict, comparator)
    (style,) = row_styles([comparator]).values()
    title = f"{verdict.baseline} − {comparator}, points"
    x = alt.X("difference:Q", axis=alt.Axis(title=title, tickCount=6, grid=True))
    y = alt.Y("kind:N", sort=list(frame["kind"]), axis=alt.Axis(title=None, labelLimit=130))
    tooltip = [
        alt.Tooltip("kind:N"),
        alt.Tooltip("outcome:N"),
        number("difference", "points"),
        number("low", "from"),
        number("high", "to"),
    ]
    zone = alt.Chart(pd.DataFrame([{"from": -verdict.delta, "to": verdict.delta}]))
    shown = alt.Chart(frame).encode(y=y, tooltip=tooltip)
    layers = [
        zone.mark_rect(color=GREY, opacity=0.2).encode(x="from:Q", x2="to:Q"),
        zone.mark_rule(color=GREY).encode(x=alt.datum(0)),
        shown.mark_rule(strokeWidth=2.5, color=style.colour, opacity=0.6).encode(
            x=alt.X("low:Q", axis=alt.Axis(title=title, tickCount=6, grid=True)), x2="high:Q"
        ),
        shown.mark_point(
            filled=True, size=SHAPE_SIZE, opacity=1, color=style.colour, shape=style.shape
        ).encode(x=x),
    ]
    return layered(layers, ROW_HEIGHT * len(frame))
