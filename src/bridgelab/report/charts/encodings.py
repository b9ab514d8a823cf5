"""Encodings that all charts share: bridges by colour, shape and dash, floors and ceilings by dash, axes in percent."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from bridgelab.report.charts.palette import GREY, line_dash, row_styles
from bridgelab.report.row import ALL, Row, short_label
from bridgelab.statistics.estimate import Estimate
from bridgelab.statistics.gap_closed import Ratio

LETTER, SYMBOL = 7.2, 34  # pixels that a letter of a legend takes, and a symbol with the space around it
LARGE, SMALL = 75, 26  # areas of points in square pixels: means and seeds


def row_label(row: Row) -> str:
    """Return the name that charts print for a row."""
    return short_label(row.label)


def kind_label(kind: str) -> str:
    """Return the printed name of a kind of question."""
    return "all questions" if kind == ALL else kind.replace("_", " ")


def points(share: float) -> float | None:
    """Return a share in percent, rounded as tables round it, so that both print the same digits; None for nan and infinity."""
    return round(100 * float(share), 1) if math.isfinite(share) else None


def interval(estimate: Estimate | Ratio) -> dict[str, float | None]:
    """Return the ends of an estimate's interval in percent as `low` and `high`."""
    low, high = estimate.interval
    return {"low": points(low), "high": points(high)}


def seed_values(estimate: Estimate) -> list[float]:
    """Return the value of each run in percent; empty if the estimate combines several bridges or keeps no runs."""
    if len(estimate.contributions) != 1:
        return []
    (own,) = estimate.contributions.values()
    return [round(100 * float(value), 1) for value in own.values]


def _legend(labels: Sequence[str], **options: Any) -> alt.Legend:
    """Return a legend in as many columns as the chart is wide."""
    entry = SYMBOL + LETTER * max(map(len, labels), default=1)
    columns = alt.ExprRef(f"max(1, min({len(labels)}, floor((width + 60) / {entry:.0f})))")
    return alt.Legend(columns=columns, symbolOpacity=1, symbolStrokeWidth=2, **options)


class BridgeScales:
    """Scales of a chart's bridges. All layers of a chart use the same object, so that they share one legend.

    Args:
        names: rows of bridges, in the order of the sweep.
        labels: what is printed for each.
    """

    def __init__(self, names: Sequence[str], labels: Sequence[str]):
        styles = list(row_styles(names).values())
        self.labels = list(labels)
        self._colours = [one.colour for one in styles]
        self._shapes = [one.shape for one in styles]
        self._dashes = [list(one.dash) for one in styles]

    def colour(self) -> alt.Color:
        scale = alt.Scale(domain=self.labels, range=self._colours)
        return alt.Color("bridge:N", scale=scale, legend=_legend(self.labels), title=None)

    def shape(self) -> alt.Shape:
        scale = alt.Scale(domain=self.labels, range=self._shapes)
        return alt.Shape("bridge:N", scale=scale, legend=_legend(self.labels), title=None)

    def dash(self) -> alt.StrokeDash:
        scale = alt.Scale(domain=self.labels, range=self._dashes)
        return alt.StrokeDash("bridge:N", scale=scale, legend=None, title=None)


def scales_of(rows: Iterable[Row]) -> BridgeScales:
    """Return the scales of some rows."""
    rows = list(rows)
    return BridgeScales([row.name for row in rows], [row_label(row) for row in rows])


def line_dashes(names: Sequence[str], labels: Sequence[str]) -> alt.StrokeDash:
    """Return the dashes of floors and ceilings, with a legend."""
    scale = alt.Scale(domain=list(labels), range=[list(line_dash(name)) for name in names])
    legend = _legend(labels, symbolType="stroke", symbolStrokeColor=GREY, symbolSize=300)
    return alt.StrokeDash("line:N", scale=scale, legend=legend, title=None)


def percent_x(field: str, title: str, **scale: Any) -> alt.X:
    """Return a horizontal axis over the range of the data, which need not begin at 0."""
    return alt.X(f"{field}:Q", axis=_percent_axis(title), scale=_percent_scale(scale))


def percent_y(field: str, title: str, **scale: Any) -> alt.Y:
    """Return a vertical axis over the range of the data, which need not begin at 0."""
    return alt.Y(f"{field}:Q", axis=_percent_axis(title), scale=_percent_scale(scale))


def _percent_axis(title: str) -> alt.Axis:
    return alt.Axis(title=title, tickCount=6, format="~f", grid=True, labelOverlap=True, labelSeparation=8)


def _percent_scale(options: dict[str, Any]) -> alt.Scale:
    return alt.Scale(**({"zero": False, "nice": True} | options))


def number(field: str, title: str) -> alt.Tooltip:
    """Return the line of a tooltip that shows a number with one decimal."""
    return alt.Tooltip(f"{field}:Q", title=title, format=".1f")


def layered(layers: Sequence[alt.Chart | alt.LayerChart], height: float) -> alt.LayerChart:
    """Return one chart of some layers, as wide as its container."""
    return alt.LayerChart(layer=list(layers)).properties(width="container", height=height)
