"""One picture of a study: accuracy by reasoning type and bridge, and the learning curves beside it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.report.figures.style import LINES, UNKNOWN, Dash, plain, short, style, tidy
from bridgelab.report.summary import ALL, Row, Summary

IN_A_ROW, LETTERS = 4, 90  # bridges in the legend at most, and letters of all
WIDTH = 0.36  # half of what one reasoning type takes on the axis


def draw(summary: Summary) -> Figure:
    """Accuracy by type and bridge, floors and ceilings as lines; learning curves if there are any."""
    with_curves = any(row.curves for row in summary.rows)
    # Figure itself and not pyplot: no global state, no display, and nothing left open after a hundred
    # studies.
    figure = Figure(figsize=(12.5 if with_curves else 8.2, 5.0), layout="constrained")
    ratios = [1.75, 1] if with_curves else [1]
    panels = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    _accuracy(panels[0], summary)
    if with_curves:
        _curves(panels[1], summary)
    figure.suptitle(plain(summary.heading), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _accuracy(axes: Axes, summary: Summary) -> None:
    names = list(summary.questions)
    for name in [name for name in names if name != ALL]:
        axes.axvline(names.index(name) - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    bridges = [row for row in summary.rows if row.role == "bridge" and row.accuracy]
    between = 2 * WIDTH / max(len(bridges), 1)
    for index, row in enumerate(bridges):
        place = np.arange(len(names)) - WIDTH + between * (index + 0.5)
        value = np.array([100 * row.accuracy[name].value for name in names])
        low, high = (100 * np.array([row.accuracy[name].interval for name in names])).T
        # A percentile interval need not hold its point estimate; errorbar wants lengths, so never below 0.
        error = np.maximum([value - low, high - value], 0)
        axes.errorbar(
            place,
            value,
            _lengths(error),
            fmt=style(index)[1],
            color=style(index)[0],
            markersize=6,
            elinewidth=1.6,
            label=short(row.label),
            zorder=3,
        )
    ends: list[tuple[float, str, str]] = []
    for row in summary.rows:
        if row.role == "bridge" or not row.accuracy:
            continue
        colour, dash = LINES.get(row.name, UNKNOWN)
        for middle, name in enumerate(names):
            level = 100 * row.accuracy[name].value
            axes.plot(
                [middle - WIDTH - 0.06, middle + WIDTH + 0.06],
                [level, level],
                color=colour,
                linestyle=dash,
                linewidth=1.6,
            )
        ends.append((100 * row.accuracy[names[-1]].value, short(row.label), colour))
    axes.set_xlim(-0.55, len(names) - 0.5)
    axes.set_ylim(0, 103)
    _label_ends(axes, len(names) - 0.44, ends, least=4.2)
    heads = ["all" if name == ALL else name.replace("_", "\n") for name in names]
    counts = [f"{head}\nn = {summary.questions[name]}" for head, name in zip(heads, names, strict=True)]
    axes.set_xticks(range(len(names)), [plain(text) for text in counts])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("accuracy, %")
    longest = max((len(short(row.label)) for row in bridges), default=0)
    rows = -(-len(bridges) // max(1, min(IN_A_ROW, LETTERS // (longest + 4))))
    axes.set_title("Accuracy by reasoning type, 95 % intervals", loc="left", fontsize=11, pad=8 + 18 * rows)
    if bridges:
        columns = -(-len(bridges) // rows)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, frameon=False, handletextpad=0.2
        )
    tidy(axes)


def _lengths(error: np.ndarray) -> np.ndarray | None:
    """The lengths of error bars, or none at all where an interval is not known."""
    return error if np.isfinite(error).all() else None


def _curves(axes: Axes, summary: Summary) -> None:
    ends: list[tuple[float, str, str]] = []
    last = max(float(curve[:, 0].max()) for row in summary.rows for curve in row.curves)
    bridges = [row.name for row in summary.rows if row.role == "bridge"]
    for row in summary.rows:
        if not row.curves:
            continue
        colour, dash = _line(row, bridges)
        for curve in row.curves:
            axes.plot(curve[:, 0], 100 * curve[:, 1], color=colour, linestyle=dash, linewidth=0.6, alpha=0.4)
        # Seeds are validated at the same steps, unless one was stopped: the mean ends where the first does.
        steps = row.curves[0][:, 0]
        steps = steps[steps <= min(float(curve[:, 0].max()) for curve in row.curves)]
        mean = np.mean([np.interp(steps, curve[:, 0], curve[:, 1]) for curve in row.curves], axis=0)
        axes.plot(steps, 100 * mean, color=colour, linestyle=dash, linewidth=2)
        if row.convergence and len(row.convergence.steps) > 1:
            at = 100 * row.convergence.accuracy.mean(axis=0)
            axes.plot(
                row.convergence.steps, at, "o", color=colour, markersize=6, markeredgecolor="white", zorder=3
            )
        ends.append((100 * float(mean[-1]), short(row.label), colour))
    axes.set_xlim(0, last)
    axes.set_ylim(0, 103)
    _label_ends(axes, 1.02 * last, ends, least=4.2)
    axes.set_xlabel("step")
    several = any(row.convergence and len(row.convergence.steps) > 1 for row in summary.rows)
    told = "; dots: budgets" if several else ", while training"
    axes.set_title(f"Validation {summary.curve_of}, %{told}", loc="left", fontsize=11, pad=26)
    tidy(axes)


def _line(row: Row, bridges: list[str]) -> tuple[str, Dash]:
    if row.name in bridges:
        colour, _, dash = style(bridges.index(row.name))
        return colour, dash
    return LINES.get(row.name, UNKNOWN)


def _label_ends(axes: Axes, x: float, ends: list[tuple[float, str, str]], *, least: float) -> None:
    """Write each line's name at its right end, `least` apart so that names never lie on one another."""
    placed: list[tuple[float, str, str]] = []
    for y, text, colour in sorted(end for end in ends if np.isfinite(end[0])):
        placed.append((max(y, placed[-1][0] + least) if placed else y, text, colour))
    # Pushed up beyond the top, the whole stack moves down again, from its upper end.
    ceiling = 103.0
    for index in range(len(placed) - 1, -1, -1):
        y, text, colour = placed[index]
        y = min(y, ceiling)
        ceiling = y - least
        axes.text(x, y, text, color=colour, va="center", fontsize=9, clip_on=False)
