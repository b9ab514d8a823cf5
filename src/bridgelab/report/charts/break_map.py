"""The break map: a cell for each level and kind of question, with its outcome as colour and sign."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import layered, points
from bridgelab.report.charts.palette import GREY
from bridgelab.report.charts.themes import CELLS, SOFT
from bridgelab.report.matrix import SIGNS
from bridgelab.report.row import short_label
from bridgelab.report.table import format_signed
from bridgelab.statistics.break_map import BreakMap
from bridgelab.statistics.outcome import CANNOT_TELL

ROW_HEIGHT = 36  # pixels
LABEL_LIMIT = 400  # pixels of a row's name
COLUMNS = [
    "comparator",
    "level",
    "kind",
    "outcome",
    "difference",
    "low",
    "high",
    "at this budget",
    "empty because",
]


def break_map_numbers(cells: BreakMap) -> pd.DataFrame:
    """Return one row for each cell, with the difference in points; one row for each empty level, with the reason."""
    rows = []
    for (comparator, level, kind), finding in cells.cells.items():
        low, high = map(points, finding.decisive_interval)
        rows.append(
            {
                "comparator": comparator,
                "level": short_label(level),
                "kind": kind.replace("_", " "),
                "outcome": finding.outcome,
                "difference": points(float(finding.contrast.value)),
                "low": low,
                "high": high,
                "at this budget": "yes" if finding.at_budget and finding.outcome != CANNOT_TELL else "no",
                "empty because": "",
            }
        )
    empty = [
        {"comparator": comparator, "level": short_label(level), "empty because": reason}
        for (comparator, level), reason in cells.empty.items()
    ]
    return pd.DataFrame([*rows, *empty], columns=COLUMNS)


def break_map_chart(cells: BreakMap) -> alt.LayerChart:
    """Draw a row for each comparator and level, as the terminal prints them.

    A dashed edge marks an outcome at this budget. A row without cells says why. Levels at which a comparator was not trained have no row.
    """
    frame = break_map_numbers(cells)
    frame = frame.rename(columns={"at this budget": "at_budget", "empty because": "reason"}).assign(
        row=frame["comparator"] + ", " + frame["level"]
    )
    every = (
        f"{comparator}, {short_label(level)}" for comparator in cells.comparators for level in cells.levels
    )
    rows = [row for row in every if row in set(frame["row"])]
    kinds = [kind.replace("_", " ") for kind in cells.kinds]
    padding = 20 if any(" " in kind for kind in kinds) else 6  # Vega lays out one line of a label
    top = alt.Axis(
        title=None,
        orient="top",
        labelAngle=0,
        labelExpr="split(datum.label, ' ')",
        labelLimit=90,
        labelPadding=padding,
    )
    x = alt.X("kind:N", scale=alt.Scale(domain=kinds, padding=0.04), axis=top)
    left = alt.Axis(title=None, labelLimit=LABEL_LIMIT)
    y = alt.Y("row:N", scale=alt.Scale(domain=rows, padding=0.08), axis=left)
    filled = frame[frame["outcome"].notna()].assign(
        text=lambda rows: [
            f"{SIGNS[outcome]} {format_signed(value, 1)}"
            for outcome, value in zip(rows["outcome"], rows["difference"], strict=True)
        ]
    )
    tooltip = [
        alt.Tooltip("comparator:N"),
        alt.Tooltip("level:N"),
        alt.Tooltip("kind:N"),
        alt.Tooltip("outcome:N"),
        alt.Tooltip("difference:Q", title=f"{cells.baseline} − it, points", format="+.1f"),
        alt.Tooltip("low:Q", title="from", format="+.1f"),
        alt.Tooltip("high:Q", title="to", format="+.1f"),
        alt.Tooltip("at_budget:N", title="at this budget"),
    ]
    drawn = alt.Chart(filled).encode(x=x, y=y, tooltip=tooltip)
    layers = [
        drawn.transform_filter(alt.FieldEqualPredicate(field="outcome", equal=outcome)).mark_rect(
            style=style, stroke=GREY, strokeWidth=0.5, cornerRadius=3
        )
        for outcome, style in CELLS.items()
    ]
    layers.append(
        drawn.transform_filter(alt.FieldEqualPredicate(field="at_budget", equal="yes")).mark_rect(
            fillOpacity=0, stroke=GREY, strokeWidth=1.6, strokeDash=[4, 3], cornerRadius=3
        )
    )
    layers.append(drawn.mark_text(fontSize=12).encode(text="text:N"))
    empty = frame[frame["outcome"].isna()]
    if len(empty):
        reasons = alt.Chart(empty).mark_text(style=SOFT, fontSize=11, limit=420)
        layers.append(reasons.encode(y=y, x=alt.value(alt.ExprRef("width / 2")), text="reason:N"))
    return layered(layers, ROW_HEIGHT * len(rows))


def legend_text() -> str:
    """Return the meaning of the signs in one sentence."""
    return ", ".join(f"{sign} {outcome}" for outcome, sign in SIGNS.items())
