"""The picture of accuracy against difficulty: one panel per tag, one line per bridge with its 95 % interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bridgelab.report.figures.style import (
    LINES,
    OTHER_LINE,
    bridge_style,
    escape_mathtext,
    legend_above,
    tidy_axes,
)
from bridgelab.report.summary import Summary
from bridgelab.report.tables.difficulty import Difficulty

MOST = 3  # panels


def draw_difficulty(difficulties: Sequence[Difficulty], summary: Summary) -> Figure:
    """Draw the first `MOST` tags. Bridges have a band for their interval, floors and ceilings a line alone."""
    drawn = difficulties[:MOST]
    figure = Figure(figsize=(4.3 * len(drawn), 3.9), layout="constrained")
    panels = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    bridges = [row.name for row in summary.bridges]
    labels = {row.name: row.label for row in summary.rows}
    for axes, difficulty in zip(panels, drawn, strict=True):
        x = np.arange(len(difficulty.levels))
        for name, estimates in difficulty.accuracy.items():
            value = np.array([100 * estimate.value for estimate in estimates])
            label = escape_mathtext(labels.get(name, name))
            if name in bridges:
                low, high = (100 * np.array([estimate.interval for estimate in estimates])).T
                colour, marker, dash = bridge_style(bridges.index(name))
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(x, value, color=colour, marker=marker, linestyle=dash, markersize=5, label=label)
            else:
                colour, dash = LINES.get(name, OTHER_LINE)
                axes.plot(x, value, color=colour, linestyle=dash, linewidth=1.4, label=label)
        axes.set_xticks(x, list(difficulty.levels))
        axes.set_xlabel(escape_mathtext(difficulty.tag.replace("_", " ")))
        axes.set_ylim(0, 103)
        tidy_axes(axes)
    panels[0].set_ylabel("accuracy, %")
    legend_above(figure, panels[0])
    return figure
