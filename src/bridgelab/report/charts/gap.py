"""The gap closed between blind and words, by kind of question."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import (
    LARGE,
    interval,
    kind_label,
    layered,
    number,
    percent_x,
    points,
    row_label,
    scales_of,
)
from bridgelab.report.charts.palette import GREY
from bridgelab.report.summary import Summary

ROW_HEIGHT = 15  # pixels a bridge takes
MARGIN = 6  # percent of the gap on either side of the points; longer intervals are cut


def gap_numbers(summary: Summary) -> pd.DataFrame:
    """Return one row for each bridge and kind of question that has a gap to close, in percent of the gap."""
    rows = [
        {
            "bridge": row_label(row),
            "kind": kind_label(kind),
            "gap closed": points(ratio.value),
            **interval(ratio),
        }
        for row in summary.bridges
        for kind, ratio in row.gap.items()
        if ratio is not None
    ]
    return pd.DataFrame(rows, columns=["bridge", "kind", "gap closed", "low", "high"])


def gap_chart(summary: Summary) -> alt.LayerChart | None:
    """Draw the gap closed with Fieller's intervals; return None if there is no gap to close."""
    frame = gap_numbers(summary).rename(columns={"gap closed": "gap"})
    if frame.empty:
        return None
    bridges = [row for row in summary.bridges if any(row.gap.values())]
    scales = scales_of(bridges)
    kinds = list(dict.fromkeys(frame["kind"]))
    domain = [min(0, float(frame["gap"].min())) - MARGIN, max(100, float(frame["gap"].max())) + MARGIN]
    # An unbounded end is drawn to the edge of the axis.
    frame = frame.fillna({"low": domain[0], "high": domain[1]})
    y = alt.Y(
        "kind:N",
        sort=kinds,
        axis=alt.Axis(title=None, labelExpr="split(datum.label, ' ')", tickBand="extent", grid=True),
        scale=alt.Scale(padding=0),
    )
    offset = alt.YOffset(
        "bridge:N", sort=scales.labels, scale=alt.Scale(domain=scales.labels, paddingOuter=0.5)
    )
    tooltip = [
        alt.Tooltip("bridge:N"),
        alt.Tooltip("kind:N"),
        number("gap", "gap closed, %"),
        number("low", "from"),
        number("high", "to"),
    ]
    seen = alt.Chart(frame).encode(y=y, yOffset=offset, color=scales.colour(), tooltip=tooltip)
    ends = pd.DataFrame([{"gap": 0, "line": "blind"}, {"gap": 100, "line": "words"}])
    layers = [
        alt.Chart(ends)
        .mark_rule(strokeWidth=1.5, color=GREY)
        .encode(x="gap:Q", tooltip=[alt.Tooltip("line:N")]),
        seen.mark_rule(strokeWidth=2, opacity=0.5, clip=True).encode(
            x=percent_x("low", "gap closed, % (0: blind, 100: words)", domain=domain, nice=False),
            x2="high:Q",
        ),
        seen.mark_point(filled=True, size=LARGE, opacity=1).encode(x="gap:Q", shape=scales.shape()),
    ]
    height = ROW_HEIGHT * len(kinds) * (len(bridges) + 1)
    return layered(layers, height)
