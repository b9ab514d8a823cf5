"""The picture of accuracy against what a bridge costs: tokens, parameters, operations."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.report.figures.style import bridge_style, escape_mathtext, legend_above, tidy_axes
from bridgelab.report.row import ALL
from bridgelab.report.summary import Summary
from bridgelab.report.table import format_si
from bridgelab.statistics.pareto import pareto_front

COSTS = {
    "visual_tokens": "visual tokens",
    "parameters": "trainable parameters",
    "flops": "FLOPs an example, T5 included",
}


def draw_pareto(summary: Summary) -> Figure | None:
    """Draw one panel per cost; return None if no cost is known of two bridges with an accuracy.

    A marker is filled if no bridge that costs as little or less is shown to be better (`pareto_front`).
    """
    rows = [row for row in summary.bridges if row.accuracy and row.costs]
    costs = [cost for cost in COSTS if sum(cost in row.costs for row in rows) > 1]
    if not costs:
        return None
    figure = Figure(figsize=(4.3 * len(costs), 3.7), layout="constrained")
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    for axes, cost in zip(panels, costs, strict=True):
        points = {row.name: (row.costs[cost], row.accuracy[ALL]) for row in rows if cost in row.costs}
        filled = set(pareto_front(points))
        for index, row in enumerate(rows):
            if row.name not in points:
                continue
            x, estimate = points[row.name]
            y, (low, high) = 100 * estimate.value, estimate.interval
            error = None if math.isnan(low) else [[max(y - 100 * low, 0)], [max(100 * high - y, 0)]]
            colour, marker, _ = bridge_style(index)
            face = colour if row.name in filled else "white"
            axes.errorbar(
                x, y, error, color=colour, fmt=marker, markersize=7, elinewidth=1.4, markerfacecolor=face,
                label=escape_mathtext(row.label), zorder=3,
            )  # fmt: skip
        _scale_x(axes, sorted({x for x, _ in points.values()}))
        axes.set_xlabel(COSTS[cost])
        tidy_axes(axes)
    panels[0].set_ylabel("accuracy, %")
    legend_above(figure, panels[0])
    return figure


def _scale_x(axes: Axes, values: list[float]) -> None:
    """Use a logarithmic axis if all values are positive, with ticks at values that are at least a third apart."""
    if values[0] <= 0:
        return
    ticks = values[:1]
    for value in values[1:]:
        if value >= 4 / 3 * ticks[-1]:
            ticks.append(value)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [format_si(value) for value in ticks])
    axes.minorticks_off()
