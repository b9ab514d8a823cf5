"""Accuracy against what a bridge costs, with the Pareto front: tokens, parameters, operations."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import (
    interval,
    layered,
    number,
    percent_y,
    points,
    row_label,
    scales_of,
)
from bridgelab.report.row import ALL, Row
from bridgelab.report.summary import Summary
from bridgelab.statistics.pareto import pareto_front

COSTS = {
    "visual_tokens": "visual tokens",
    "parameters": "trainable parameters",
    "flops": "FLOPs an example, T5 included",
}
HEIGHT = 280  # pixels
MIN_RATIO = 4 / 3  # of two labelled values


def costs_to_draw(summary: Summary) -> list[str]:
    """Return the costs that at least two bridges with an accuracy have recorded."""
    return [cost for cost in COSTS if len(_rows(summary, cost)) > 1]


def cost_numbers(summary: Summary) -> pd.DataFrame:
    """Return one row for each bridge and cost; `on the front` says that no cheaper bridge is shown to be better (`pareto_front`)."""
    frames = []
    for cost in costs_to_draw(summary):
        rows = _rows(summary, cost)
        front = set(pareto_front({row.name: (row.costs[cost], row.accuracy[ALL]) for row in rows}))
        frames += [
            {
                "bridge": row_label(row),
                "cost": COSTS[cost],
                "amount": row.costs[cost],
                "accuracy": points(row.accuracy[ALL].value),
                **interval(row.accuracy[ALL]),
                "on the front": "yes" if row.name in front else "no",
            }
            for row in rows
        ]
    return pd.DataFrame(
        frames, columns=["bridge", "cost", "amount", "accuracy", "low", "high", "on the front"]
    )


def cost_chart(summary: Summary, cost: str) -> alt.LayerChart:
    """Draw accuracy against one of `COSTS`. A point is filled if it is on the Pareto front."""
    frame = cost_numbers(summary)
    frame = frame[frame["cost"] == COSTS[cost]].rename(columns={"on the front": "front"})
    values = sorted(set(frame["amount"]))
    ticks = values[:1]
    for value in values[1:]:
        if value >= MIN_RATIO * ticks[-1]:
            ticks.append(value)
    scale = (
        alt.Scale(type="log", nice=False, padding=24) if values[0] > 0 else alt.Scale(zero=False, padding=24)
    )
    axis = alt.Axis(title=COSTS[cost], values=ticks, format=".3~s", grid=False, labelOverlap=True)
    x = alt.X("amount:Q", axis=axis, scale=scale)
    y = percent_y("accuracy", "accuracy, %")
    scales = scales_of(_rows(summary, cost))
    tooltip = [
        alt.Tooltip("bridge:N"),
        alt.Tooltip("amount:Q", title=COSTS[cost], format=".4~s"),
        number("accuracy", "accuracy, %"),
        number("low", "from"),
        number("high", "to"),
        alt.Tooltip("front:N", title="on the front"),
    ]
    shared = {"x": x, "tooltip": tooltip, "color": scales.colour()}
    intervals = alt.Chart(frame).mark_rule(strokeWidth=1.5, opacity=0.6)
    layers = [intervals.encode(y=percent_y("low", "accuracy, %"), y2="high:Q", **shared)]
    for filled, part in ((True, frame[frame["front"] == "yes"]), (False, frame[frame["front"] == "no"])):
        if len(part):  # Vega warns of a layer without data
            dots = alt.Chart(part).mark_point(filled=filled, size=90, opacity=1, strokeWidth=2)
            layers.append(dots.encode(y=y, shape=scales.shape(), **shared))
    return layered(layers, HEIGHT)


def _rows(summary: Summary, cost: str) -> list[Row]:
    return [row for row in summary.bridges if row.accuracy and cost in row.costs]
