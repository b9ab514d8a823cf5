"""Validation accuracy against training steps: a thin line for each seed, their mean, and a point for each budget."""

from collections.abc import Callable

import altair as alt
import numpy as np
import pandas as pd

from bridgelab.report.charts.encodings import (
    BridgeScales,
    layered,
    line_dashes,
    number,
    percent_y,
    row_label,
    scales_of,
)
from bridgelab.report.charts.palette import GREY
from bridgelab.report.row import Row
from bridgelab.report.summary import Summary

HEIGHT = 320  # pixels
MOST_POINTS = 60  # of one seed's curve


def budget_numbers(summary: Summary) -> pd.DataFrame:
    """Return one row for each trained row, run and budget, with validation accuracy in percent.

    A row that recorded no budgets has the end of its curves.
    """
    rows = [
        {
            "bridge": row_label(row),
            "role": row.role,
            "run": run + 1,
            "steps": int(step),
            "accuracy": 100 * float(value),
        }
        for row in summary.rows
        for run, budgets in enumerate(_budgets(row))
        for step, value in budgets
    ]
    return pd.DataFrame(rows, columns=["bridge", "role", "run", "steps", "accuracy"])


def budget_chart(summary: Summary) -> alt.LayerChart | None:
    """Draw learning curves and budgets; return None without any."""
    bridges = [row for row in summary.bridges if row.curves]
    floors = [row for row in summary.rows if row.role != "bridge" and row.curves]
    if not bridges:
        return None
    scales = scales_of(bridges)
    title = f"validation {summary.curve_of}, %"
    x = alt.X("step:Q", axis=alt.Axis(title="training steps", tickCount=6, format="~s", grid=False))
    y = percent_y("accuracy", title)
    tooltip = [alt.Tooltip("bridge:N"), alt.Tooltip("step:Q", format=","), number("accuracy", title)]
    seeds = alt.Chart(_frame(bridges, _seed_curves)).mark_line(strokeWidth=0.8, opacity=0.4)
    means = alt.Chart(_frame(bridges, _mean_curve)).mark_line(strokeWidth=2.2)
    colour = scales.colour()
    layers = [
        seeds.encode(x=x, y=y, color=colour, detail="run:N"),
        *_floors(floors, x, y),
        means.encode(x=x, y=y, color=colour, strokeDash=scales.dash(), tooltip=tooltip),
        _budget_points(summary, scales, x, y, tooltip),
    ]
    return layered(layers, HEIGHT).resolve_scale(strokeDash="independent")


def _budget_points(
    summary: Summary, scales: BridgeScales, x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]
) -> alt.Chart:
    """Return a point at each budget's mean over runs."""
    frame = budget_numbers(summary).rename(columns={"steps": "step"})
    means = (
        frame[frame["role"] == "bridge"]
        .groupby(["bridge", "step"], sort=False, as_index=False)["accuracy"]
        .mean()
    )
    points = alt.Chart(means.round(1)).mark_point(filled=True, size=65, opacity=1)
    return points.encode(x=x, y=y, color=scales.colour(), shape=scales.shape(), tooltip=tooltip)


def _budgets(row: Row) -> list[list[tuple[float, float]]]:
    """Return (steps, accuracy) of each budget of each run."""
    if row.convergence and row.convergence.steps:
        return [list(zip(row.convergence.steps, values, strict=True)) for values in row.convergence.accuracy]
    return [[tuple(curve[-1])] for curve in row.curves]


def _floors(rows: list[Row], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    if not rows:
        return []
    dashes = line_dashes([row.name for row in rows], [row_label(row) for row in rows])
    lines = alt.Chart(_frame(rows, _mean_curve).rename(columns={"bridge": "line"}))
    tooltip = [alt.Tooltip("line:N"), number("accuracy", "%")]
    return [lines.mark_line(strokeWidth=1.5, color=GREY).encode(x=x, y=y, strokeDash=dashes, tooltip=tooltip)]


def _frame(rows: list[Row], curves: Callable[[Row], list[np.ndarray]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"bridge": row_label(row), "run": run, "step": float(step), "accuracy": round(100 * float(value), 1)}
        for row in rows
        for run, curve in enumerate(curves(row))
        for step, value in curve
    )


def _seed_curves(row: Row) -> list[np.ndarray]:
    return [_thinned(curve) for curve in row.curves] if len(row.curves) > 1 else []


def _mean_curve(row: Row) -> list[np.ndarray]:
    """Return the mean over seeds [step, 2], up to the last step that all seeds reached."""
    steps = _thinned(row.curves[0])[:, 0]
    steps = steps[steps <= min(float(curve[:, 0].max()) for curve in row.curves)]
    means = np.mean([np.interp(steps, curve[:, 0], curve[:, 1]) for curve in row.curves], axis=0)
    return [np.stack([steps, means], axis=1)]


def _thinned(curve: np.ndarray) -> np.ndarray:
    """Return at most `MOST_POINTS` points of a curve, with its first and its last."""
    if len(curve) <= MOST_POINTS:
        return curve
    return curve[np.unique(np.linspace(0, len(curve) - 1, MOST_POINTS).round().astype(int))]
