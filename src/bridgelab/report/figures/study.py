"""The picture of a study: accuracy by reasoning type and bridge, and the learning curves beside it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.report.figures.style import (
    LINES,
    OTHER_LINE,
    Dash,
    bridge_style,
    escape_mathtext,
    short_label,
    tidy_axes,
)
from bridgelab.report.row import ALL, Row
from bridgelab.report.summary import Summary

LEGEND_COLUMNS, LEGEND_LETTERS = 4, 90  # bridges in a line of the legend at most, and letters of all of them
WIDTH = 0.36  # half of what one reasoning type takes on the axis
TOP = 103.0  # of the axis, so that markers at 100 % are drawn in full
LABEL_DISTANCE = 4.2  # points of accuracy between two names at the right end

Label = tuple[float, str, str]  # height, text, colour


def draw_study(summary: Summary) -> Figure:
    """Draw accuracy with floors and ceilings as lines, and learning curves if there are any."""
    with_curves = any(row.curves for row in summary.rows)
    # Figure itself, not pyplot: pyplot keeps global state, needs a display, and leaves figures open.
    figure = Figure(figsize=(12.5 if with_curves else 8.2, 5.0), layout="constrained")
    ratios = [1.75, 1] if with_curves else [1]
    panels = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    _draw_accuracy(panels[0], summary)
    if with_curves:
        _draw_curves(panels[1], summary)
    figure.suptitle(escape_mathtext(summary.heading), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _draw_accuracy(axes: Axes, summary: Summary) -> None:
    names = list(summary.questions)
    for position, name in enumerate(names):
        if name != ALL:
            axes.axvline(position - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    bridges = [row for row in summary.bridges if row.accuracy]
    _draw_bridges(axes, bridges, names)
    _draw_floors_and_ceilings(
        axes, [row for row in summary.rows if row.role != "bridge" and row.accuracy], names
    )
    axes.set_xlim(-0.55, len(names) - 0.5)
    axes.set_ylim(0, TOP)
    columns = ["all" if name == ALL else name.replace("_", "\n") for name in names]
    ticks = [f"{column}\nn = {summary.questions[name]}" for column, name in zip(columns, names, strict=True)]
    axes.set_xticks(range(len(names)), [escape_mathtext(tick) for tick in ticks])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("accuracy, %")
    _draw_title_and_legend(axes, bridges)
    tidy_axes(axes)


def _draw_bridges(axes: Axes, bridges: list[Row], names: list[str]) -> None:
    spacing = 2 * WIDTH / max(len(bridges), 1)
    for index, row in enumerate(bridges):
        colour, marker, _ = bridge_style(index)
        value = np.array([100 * row.accuracy[name].value for name in names])
        low, high = (100 * np.array([row.accuracy[name].interval for name in names])).T
        # An interval need not hold its point estimate, and errorbar takes lengths only, which are never negative.
        error = np.maximum([value - low, high - value], 0)
        axes.errorbar(
            np.arange(len(names)) - WIDTH + spacing * (index + 0.5),
            value,
            error if np.isfinite(error).all() else None,
            fmt=marker,
            color=colour,
            markersize=6,
            elinewidth=1.6,
            label=short_label(row.label),
            zorder=3,
        )


def _draw_floors_and_ceilings(axes: Axes, rows: list[Row], names: list[str]) -> None:
    labels: list[Label] = []
    for row in rows:
        colour, dash = LINES.get(row.name, OTHER_LINE)
        for middle, name in enumerate(names):
            level = 100 * row.accuracy[name].value
            axes.plot(
                [middle - WIDTH - 0.06, middle + WIDTH + 0.06],
                [level, level],
                color=colour,
                linestyle=dash,
                linewidth=1.6,
            )
        labels.append((100 * row.accuracy[names[-1]].value, short_label(row.label), colour))
    _label_ends(axes, len(names) - 0.44, labels)


def _draw_title_and_legend(axes: Axes, bridges: list[Row]) -> None:
    """Write the title above the legend, which takes as many lines as its labels need."""
    longest = max((len(short_label(row.label)) for row in bridges), default=0)
    lines = -(-len(bridges) // max(1, min(LEGEND_COLUMNS, LEGEND_LETTERS // (longest + 4))))
    axes.set_title("Accuracy by reasoning type, 95 % intervals", loc="left", fontsize=11, pad=8 + 18 * lines)
    if bridges:
        columns = -(-len(bridges) // lines)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False, handletextpad=0.2
        )


def _draw_curves(axes: Axes, summary: Summary) -> None:
    """Draw a thin line for each seed, their mean, and a dot for each budget if there are several."""
    labels: list[Label] = []
    bridges = [row.name for row in summary.bridges]
    for row in summary.rows:
        if not row.curves:
            continue
        colour, dash = _line_style(row, bridges)
        for curve in row.curves:
            axes.plot(curve[:, 0], 100 * curve[:, 1], color=colour, linestyle=dash, linewidth=0.6, alpha=0.4)
        steps, mean = _mean_curve(row)
        axes.plot(steps, 100 * mean, color=colour, linestyle=dash, linewidth=2)
        if row.convergence and len(row.convergence.steps) > 1:
            at_budgets = 100 * row.convergence.accuracy.mean(axis=0)
            axes.plot(
                row.convergence.steps, at_budgets, "o", color=colour, markersize=6, markeredgecolor="white", zorder=3
            )  # fmt: skip
        labels.append((100 * float(mean[-1]), short_label(row.label), colour))
    last = max(float(curve[:, 0].max()) for row in summary.rows for curve in row.curves)
    axes.set_xlim(0, last)
    axes.set_ylim(0, TOP)
    _label_ends(axes, 1.02 * last, labels)
    axes.set_xlabel("step")
    several = any(row.convergence and len(row.convergence.steps) > 1 for row in summary.rows)
    suffix = "; dots: budgets" if several else ", while training"
    axes.set_title(f"Validation {summary.curve_of}, %{suffix}", loc="left", fontsize=11, pad=26)
    tidy_axes(axes)


def _mean_curve(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and the mean over seeds, up to the last step that all seeds reached."""
    steps = row.curves[0][:, 0]
    steps = steps[steps <= min(float(curve[:, 0].max()) for curve in row.curves)]
    return steps, np.mean([np.interp(steps, curve[:, 0], curve[:, 1]) for curve in row.curves], axis=0)


def _line_style(row: Row, bridges: list[str]) -> tuple[str, Dash]:
    if row.name in bridges:
        colour, _, dash = bridge_style(bridges.index(row.name))
        return colour, dash
    return LINES.get(row.name, OTHER_LINE)


def _label_ends(axes: Axes, x: float, labels: list[Label]) -> None:
    """Write each line's name at its right end, so far apart that names do not overlap."""
    placed: list[Label] = []
    for y, text, colour in sorted(label for label in labels if np.isfinite(label[0])):
        placed.append((max(y, placed[-1][0] + LABEL_DISTANCE) if placed else y, text, colour))
    # Names that were pushed beyond the top move down again, the uppermost first.
    ceiling = TOP
    for y, text, colour in reversed(placed):
        y = min(y, ceiling)
        ceiling = y - LABEL_DISTANCE
        axes.text(x, y, text, color=colour, va="center", fontsize=9, clip_on=False)
