"""The picture of accuracy against difficulty: one panel a tag, a line a bridge with its 95 % interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bridgelab.report.figures.style import LINES, UNKNOWN, plain, style, tidy
from bridgelab.report.summary import Summary
from bridgelab.report.tables.difficulty import Difficulty

MOST = 3  # panels


def draw_difficulty(found: Sequence[Difficulty], summary: Summary) -> Figure:
    """One panel a tag, of the first few."""
    shown = list(found)[:MOST]
    figure = Figure(figsize=(4.3 * len(shown), 3.9), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    bridges = [row.name for row in summary.rows if row.role == "bridge"]
    labels = {row.name: row.label for row in summary.rows}
    for axes, one in zip(panels, shown, strict=True):
        for name, estimates in one.accuracy.items():
            place = np.arange(len(one.levels))
            value = np.array([100 * estimate.value for estimate in estimates])
            low, high = (100 * np.array([estimate.interval for estimate in estimates])).T
            if name in bridges:
                colour, marker, dash = style(bridges.index(name))
                axes.fill_between(place, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(
                    place,
                    value,
                    color=colour,
                    marker=marker,
                    linestyle=dash,
                    markersize=5,
                    label=plain(labels[name]),
                )
            else:
                colour, dash = LINES.get(name, UNKNOWN)
                axes.plot(
                    place,
                    value,
                    color=colour,
                    linestyle=dash,
                    linewidth=1.4,
                    label=plain(labels.get(name, name)),
                )
        axes.set_xticks(np.arange(len(one.levels)), list(one.levels))
        axes.set_xlabel(plain(one.tag.replace("_", " ")))
        axes.set_ylim(0, 103)
        tidy(axes)
    panels[0].set_ylabel("accuracy, %")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure
