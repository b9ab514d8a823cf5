"""Accuracy by kind of question: a dot for each seed or order of examples, a shape for the mean, lines for floors and ceilings."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import (
    LARGE,
    SMALL,
    interval,
    kind_label,
    layered,
    line_dashes,
    number,
    percent_x,
    points,
    row_label,
    scales_of,
    seed_values,
)
from bridgelab.report.charts.palette import GREY
from bridgelab.report.row import counted
from bridgelab.report.summary import Summary

COLUMNS = ["bridge", "role", "kind", "questions", "accuracy", "low", "high", "seeds"]
ROW_HEIGHT = 15  # pixels a bridge takes
BAND_HEIGHT = 54  # pixels a kind of question takes at least: three lines of a label
LINE_HEIGHT = 14  # pixels of a line of a label


def accuracy_numbers(summary: Summary) -> pd.DataFrame:
    """Return one row for each bridge, floor or ceiling and kind of question. The last column is named after what is counted."""
    return _numbers(summary).rename(columns={"seeds": counted(summary.rows)})


def _numbers(summary: Summary) -> pd.DataFrame:
    """Return `accuracy_numbers` with the last column as `seeds`: the accuracy of each seed, or of each order of examples."""
    rows = [
        {
            "bridge": row_label(row),
            "role": row.role,
            "kind": kind_label(kind),
            "questions": summary.questions[kind],
            "accuracy": points(estimate.value),
            **interval(estimate),
            "seeds": ", ".join(f"{value:.1f}" for value in seed_values(estimate)) if row.seeds else "",
        }
        for row in summary.rows
        for kind, estimate in row.accuracy.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def accuracy_chart(summary: Summary) -> alt.LayerChart:
    """Draw a band for each kind of question, with a row for each bridge. The axis covers the data and need not begin at 0."""
    frame = _numbers(summary)
    counts = [f"\nn = {questions:,}" for questions in frame["questions"]]
    frame["band"] = frame["kind"].str.replace(" ", "\n") + counts
    bands = list(dict.fromkeys(frame["band"]))
    bridges = [row for row in summary.bridges if row.accuracy]
    scales = scales_of(bridges)
    axis = alt.Axis(
        title=None,
        labelExpr="split(datum.label, '\\n')",
        labelOffset=_centre(bands),
        tickBand="extent",
        grid=True,
        labelLimit=130,
    )
    y = alt.Y("band:N", sort=bands, axis=axis, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    offset = alt.YOffset(
        "bridge:N", sort=scales.labels, scale=alt.Scale(domain=scales.labels, paddingOuter=0.5)
    )
    tooltip = [
        alt.Tooltip("bridge:N"),
        alt.Tooltip("kind:N"),
        number("accuracy", "accuracy, %"),
        number("low", "from"),
        number("high", "to"),
        alt.Tooltip("seeds:N", title=counted(summary.rows)),
    ]
    seen = alt.Chart(frame[frame["role"] == "bridge"]).encode(y=y, yOffset=offset, tooltip=tooltip)
    x = percent_x("accuracy", "accuracy, %")
    colour = scales.colour()
    one_counted = "one seed" if counted(summary.rows) == "seeds" else f"one of the {counted(summary.rows)}"
    layers = [
        seen.mark_rule(strokeWidth=2, opacity=0.4).encode(
            x=percent_x("low", "accuracy, %"), x2="high:Q", color=colour
        ),
        *_lines(frame, summary, y),
        _seed_dots(summary, frame)
        .mark_point(filled=True, shape="circle", size=SMALL, opacity=0.85)
        .encode(
            x=x,
            y=y,
            yOffset=offset,
            color=colour,
            tooltip=[alt.Tooltip("bridge:N"), alt.Tooltip("kind:N"), number("accuracy", f"{one_counted}, %")],
        ),
        seen.mark_point(filled=True, size=LARGE, opacity=1).encode(x=x, color=colour, shape=scales.shape()),
    ]
    height = len(bands) * max(BAND_HEIGHT, ROW_HEIGHT * (len(bridges) + 1))
    return layered(layers, height)


def _centre(labels: Sequence[str]) -> dict[str, Any]:
    """Return the offset that centres labels of several lines in their bands, since Vega centres the first line."""
    taller = sorted({text.count("\n") for text in labels} - {0})
    tests = [
        {"test": f"length(split(datum.value, '\\n')) == {more + 1}", "value": -more * LINE_HEIGHT / 2}
        for more in taller
    ]
    return {"condition": tests, "value": 0}


def _seed_dots(summary: Summary, frame: pd.DataFrame) -> alt.Chart:
    bands = dict(zip(frame["kind"], frame["band"], strict=True))
    rows = [
        {
            "bridge": row_label(row),
            "kind": kind_label(kind),
            "band": bands[kind_label(kind)],
            "accuracy": value,
        }
        for row in summary.bridges
        for kind, estimate in row.accuracy.items()
        if row.seeds > 1
        for value in seed_values(estimate)
    ]
    return alt.Chart(pd.DataFrame(rows, columns=["bridge", "kind", "band", "accuracy"]))


def _lines(frame: pd.DataFrame, summary: Summary, y: alt.Y) -> list[alt.Chart]:
    """Return a rule across the band for each floor and ceiling."""
    rows = [row for row in summary.rows if row.role != "bridge" and row.accuracy]
    if not rows:
        return []
    lines = frame[frame["role"] != "bridge"].rename(columns={"bridge": "line"})
    from_edge = y.copy(deep=False)
    from_edge["bandPosition"] = 0
    chart = alt.Chart(lines).mark_rule(strokeWidth=2, color=GREY)
    return [
        chart.encode(
            x=percent_x("accuracy", "accuracy, %"),
            y=from_edge,
            y2=alt.Y2("band:N", bandPosition=1),
            strokeDash=line_dashes([row.name for row in rows], [row_label(row) for row in rows]),
            tooltip=[alt.Tooltip("line:N"), alt.Tooltip("kind:N"), number("accuracy", "accuracy, %")],
        )
    ]
