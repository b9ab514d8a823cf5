"""Captions against reasoning: a bridge that sees less well is worse on both, one that reasons less well on questions alone."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import (
    LARGE,
    interval,
    layered,
    number,
    percent_x,
    percent_y,
    points,
    row_label,
    scales_of,
)
from bridgelab.report.row import ALL
from bridgelab.report.summary import Summary

HEIGHT = 320  # pixels
TITLE = "attributes right in captions, %"


def caption_numbers(summary: Summary) -> pd.DataFrame:
    """Return one row for each bridge: attributes right in its captions, and its accuracy on questions, in percent."""
    rows = [
        {
            "bridge": row_label(row),
            "captions": points(row.captions["attributes"].value),
            **{f"captions {end}": value for end, value in interval(row.captions["attributes"]).items()},
            "questions": points(row.accuracy[ALL].value),
            **{f"questions {end}": value for end, value in interval(row.accuracy[ALL]).items()},
        }
        for row in summary.bridges
        if row.accuracy and "attributes" in row.captions
    ]
    ends = ("low", "high")
    columns = [name for of in ("captions", "questions") for name in (of, *(f"{of} {end}" for end in ends))]
    return pd.DataFrame(rows, columns=["bridge", *columns])


def caption_chart(summary: Summary) -> alt.LayerChart | None:
    """Draw each bridge's captions against its answers, with both intervals; return None for fewer than two bridges."""
    frame = caption_numbers(summary)
    if len(frame) < 2:
        return None
    frame.columns = frame.columns.str.replace(" ", "_")
    scales = scales_of([row for row in summary.bridges if row_label(row) in set(frame["bridge"])])
    x, y = percent_x("captions", TITLE), percent_y("questions", "questions right, %")
    tooltip = [
        alt.Tooltip("bridge:N"),
        number("captions", "captions, %"),
        number("questions", "questions, %"),
    ]
    marks = alt.Chart(frame).encode(color=scales.colour(), tooltip=tooltip)
    across = marks.mark_rule(opacity=0.5, strokeWidth=1.5).encode(
        x=percent_x("captions_low", TITLE), x2="captions_high:Q", y=y
    )
    upright = marks.mark_rule(opacity=0.5, strokeWidth=1.5).encode(
        x=x, y=percent_y("questions_low", "questions right, %"), y2="questions_high:Q"
    )
    dots = marks.mark_point(filled=True, size=LARGE + 25, opacity=1).encode(x=x, y=y, shape=scales.shape())
    return layered([across, upright, dots], HEIGHT)
