"""The picture of accuracy against what a bridge costs: tokens, parameters, operations."""

from matplotlib.figure import Figure

from bridgelab.report.figures.style import plain, style, tidy
from bridgelab.report.summary import ALL, Summary
from bridgelab.report.table import scaled
from bridgelab.statistics.pareto import pareto_front

COSTS = {
    "visual_tokens": "visual tokens",
    "parameters": "trainable parameters",
    "flops": "FLOPs an example, T5 included",
}


def draw_pareto(summary: Summary) -> Figure | None:
    """One panel a cost; None where fewer than two bridges have both.

    Filled: not told to be worse than a bridge that costs no more (`pareto.pareto_front`).
    """
    rows = [row for row in summary.rows if row.role == "bridge" and row.accuracy and row.costs]
    shown = [cost for cost in COSTS if sum(cost in row.costs for row in rows) > 1]
    if not shown:
        return None
    figure = Figure(figsize=(4.3 * len(shown), 3.7), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, cost in zip(panels, shown, strict=True):
        points = {row.name: (row.costs[cost], row.accuracy[ALL]) for row in rows if cost in row.costs}
        best = set(pareto_front(points))
        for index, row in enumerate(rows):
            if row.name not in points:
                continue
            x, y, (low, high) = row.costs[cost], 100 * row.accuracy[ALL].value, row.accuracy[ALL].interval
            colour, marker, _ = style(index)
            known = low == low
            axes.errorbar(
                x, y, [[max(y - 100 * low, 0)], [max(100 * high - y, 0)]] if known else None, color=colour,
                fmt=marker, markersize=7, elinewidth=1.4, label=plain(row.label), zorder=3,
                markerfacecolor=colour if row.name in best else "white",
            )  # fmt: skip
        values = sorted({x for x, _ in points.values()})
        if values[0] > 0:
            axes.set_xscale("log")
            axes.set_xticks(_apart(values), [scaled(value) for value in _apart(values)])
            axes.minorticks_off()
        axes.set_xlabel(COSTS[cost])
        tidy(axes)
    panels[0].set_ylabel("accuracy, %")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure


def _apart(values: list[float]) -> list[float]:
    """Of values in order those that are a third apart or more, so that their names do not lie on one another."""
    kept = values[:1]
    for value in values[1:]:
        if value >= 4 / 3 * kept[-1]:
            kept.append(value)
    return kept
