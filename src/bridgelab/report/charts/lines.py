"""Accuracy over an ordered axis, a line a bridge: what charts of difficulty and of swept numbers share."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import BridgeScales, layered, line_dashes, number, percent_y
from bridgelab.report.charts.palette import GREY

HEIGHT = 260  # pixels
WIDEST = 50  # points of a band, beyond which it would cover the other bridges and say nothing
COLUMNS = ["bridge", "role", "name", "x", "accuracy", "low", "high"]


def line_chart(
    frame: pd.DataFrame,
    x: alt.X,
    scales: BridgeScales,
    *,
    title: str,
    domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """Draw bridges as lines with a band for their 95 % interval, floors and ceilings as grey lines without one.

    A band is left out where it spans more than `WIDEST` points.

    Args:
        frame: rows with `COLUMNS`; a floor or ceiling with a single x is drawn across the chart.
        x: encoding of the column "x".
        scales: of the bridges.
        title: what x is.
        domain: the least and the greatest accuracy of the axis; those of the data by default.
    """
    span = {"domain": list(domain)} if domain else {}
    y = percent_y("accuracy", "accuracy, %", **span)
    named = [alt.Tooltip("bridge:N"), alt.Tooltip("x", title=title)]
    tooltip = [*named, number("accuracy", "accuracy, %"), number("low", "from"), number("high", "to")]
    ends = frame[["low", "high"]].astype(float)
    narrow = ends["high"] - ends["low"] <= WIDEST
    frame = frame.assign(band_low=ends["low"].where(narrow), band_high=ends["high"].where(narrow))
    bridges = alt.Chart(frame[frame["role"] == "bridge"]).encode(x=x, tooltip=tooltip)
    colour = scales.colour()
    layers = [
        bridges.mark_area(opacity=0.14).encode(
            y=percent_y("band_low", "accuracy, %", **span), y2="band_high:Q", color=colour
        ),
        *_floors_and_ceilings(frame[frame["role"] != "bridge"], x, y),
        bridges.mark_line(strokeWidth=2).encode(y=y, color=colour, strokeDash=scales.dash()),
        bridges.mark_point(filled=True, size=55, opacity=1).encode(y=y, color=colour, shape=scales.shape()),
    ]
    return layered(layers, HEIGHT).resolve_scale(strokeDash="independent")


def _floors_and_ceilings(frame: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.LayerChart]:
    if frame.empty:
        return []
    frame = frame.rename(columns={"bridge": "line"})
    dashes = line_dashes(*zip(*frame[["name", "line"]].drop_duplicates().to_numpy(), strict=True))
    tooltip = [alt.Tooltip("line:N"), number("accuracy", "accuracy, %")]
    single = frame.groupby("line")["x"].transform("size") == 1
    layers = []
    if not single.all():
        lines = alt.Chart(frame[~single]).mark_line(strokeWidth=1.5, color=GREY)
        layers.append(lines.encode(x=x, y=y, strokeDash=dashes, tooltip=tooltip))
    if single.any():
        rules = alt.Chart(frame[single]).mark_rule(strokeWidth=1.5, color=GREY)
        layers.append(rules.encode(y=y, strokeDash=dashes, tooltip=tooltip))
    return [alt.LayerChart(layer=layers)]  # one layer, so that lines and rules share a legend
