"""One picture of a study's diagnoses: selection, clutter, and what probes read. Its numbers are those of the tables."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.report.diagnosis.record import PROBE_TARGETS, pooled_number
from bridgelab.report.diagnosis.table import Diagnoses
from bridgelab.report.figures.style import GREY, bridge_style, escape_mathtext, tidy_axes
from bridgelab.statistics.estimate import Estimate

PATCHES = {
    "visited": "visited\nobjects",
    "others": "as many\nof others",
    "background": "as many of\nbackground",
    "random": "as many\nat random",
}
WIDTH = 0.36  # half of what a group of points takes on the axis
MOST_IN_A_ROW = 3  # panels


def draw_diagnosis(diagnoses: Diagnoses) -> Figure | None:
    """Draw a panel for each kind of number that there is; return None if there is none."""
    # (relative width, function, a number without which there is nothing to draw)
    panels = [
        (1.5, _draw_drops, "selection/visited"),
        (1.0, _draw_selection, "selection/base"),
        (1.0, _draw_clutter, "clutter/cost"),
        (2.2, _draw_probes, "probe/tokens/occupied"),
        (1.0, _draw_rank, "rank/within_image"),
    ]
    drawn = [
        (width, draw)
        for width, draw, name in panels
        if any(pooled_number(runs, name) is not None for runs in diagnoses.values())
    ]
    if not drawn:
        return None
    rows = [drawn[:MOST_IN_A_ROW], drawn[MOST_IN_A_ROW:]] if len(drawn) > MOST_IN_A_ROW else [drawn]
    figure = Figure(figsize=(11.5, 4.1 * len(rows) + 0.4), layout="constrained")
    for subfigure, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axes = subfigure.subplots(1, len(row), width_ratios=[width for width, _ in row], squeeze=False)[0]
        for panel, (_, draw) in zip(axes, row, strict=True):
            draw(panel, diagnoses)
            tidy_axes(panel)
            panel.title.set_fontsize(10.5)
    handles, labels = figure.subfigs[0].axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(len(labels), 6), frameon=False, fontsize=9
    )
    return figure


def _draw_points(
    axes: Axes, x: np.ndarray, estimates: Sequence[Estimate | None], index: int, label: str, scale: float
) -> None:
    """Draw the estimates of bridge number `index` with their intervals."""
    known = [(at, estimate) for at, estimate in zip(x, estimates, strict=True) if estimate is not None]
    if not known:
        return
    colour, marker, _ = bridge_style(index)
    value = np.array([scale * estimate.value for _, estimate in known])
    low, high = (scale * np.array([estimate.interval for _, estimate in known])).T
    axes.errorbar(
        [at for at, _ in known],
        value,
        np.nan_to_num(np.maximum([value - low, high - value], 0)),
        fmt=marker,
        color=colour,
        markersize=6,
        elinewidth=1.6,
        label=escape_mathtext(label),
    )


def _draw_groups(
    axes: Axes, diagnoses: Diagnoses, names: Sequence[str], ticks: Sequence[str], scale: float
) -> None:
    """Draw a group of points for each number, with a point for each bridge."""
    spacing = 2 * WIDTH / len(diagnoses)
    for index, (bridge, runs) in enumerate(diagnoses.items()):
        x = np.arange(len(names)) - WIDTH + spacing * (index + 0.5)
        _draw_points(axes, x, [pooled_number(runs, name) for name in names], index, bridge, scale)
    axes.set_xticks(range(len(names)), list(ticks))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _draw_by_bridge(axes: Axes, diagnoses: Diagnoses, name: str, scale: float) -> None:
    """Draw one number, with a point for each bridge."""
    for index, (bridge, runs) in enumerate(diagnoses.items()):
        _draw_points(axes, np.array([index]), [pooled_number(runs, name)], index, bridge, scale)
    ticks = [escape_mathtext(bridge.replace("_", "\n")) for bridge in diagnoses]
    axes.set_xticks(range(len(diagnoses)), ticks, fontsize=8.5)
    axes.set_xlim(-0.6, len(diagnoses) - 0.4)


def _draw_drops(axes: Axes, diagnoses: Diagnoses) -> None:
    names = [f"selection/{name}" for name in PATCHES]
    _draw_groups(axes, diagnoses, names, list(PATCHES.values()), scale=1.0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylabel("drop of log-probability, nats")
    axes.set_title("Right answers without the patches of …", loc="left")


def _draw_selection(axes: Axes, diagnoses: Diagnoses) -> None:
    _draw_by_bridge(axes, diagnoses, "selection/selection", scale=100)
    estimates = (pooled_number(runs, "selection/base") for runs in diagnoses.values())
    at_random = 100 * float(np.mean([estimate.value for estimate in estimates if estimate is not None]))
    axes.axhline(at_random, color=GREY, linestyle=":", linewidth=1.4)
    axes.text(
        len(diagnoses) - 0.45, at_random, "at random", ha="right", va="bottom", fontsize=8.5, color="#555555"
    )
    axes.set_ylim(min(0, axes.get_ylim()[0]), max(100, axes.get_ylim()[1]))
    axes.set_ylabel("share of the drop, %")
    axes.set_title("Selection", loc="left")


def _draw_clutter(axes: Axes, diagnoses: Diagnoses) -> None:
    _draw_by_bridge(axes, diagnoses, "clutter/cost", scale=100)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylabel("accuracy lost, points")
    axes.set_title("What clutter costs", loc="left")


def _draw_probes(axes: Axes, diagnoses: Diagnoses) -> None:
    ticks = ["place\n(R² × 100)" if target == "place" else target for target in PROBE_TARGETS]
    names = [f"probe/tokens/{target}" for target in PROBE_TARGETS]
    _draw_groups(axes, diagnoses, names, ticks, scale=100)
    first = next(iter(diagnoses.values()))[:1]
    lines = []
    for source, dash, label in (("patches", "-", "before the bridge"), ("guessed", ":", "a guess")):
        for k, target in enumerate(PROBE_TARGETS):
            if level := pooled_number(first, f"probe/{source}/{target}"):
                (line,) = axes.plot(
                    [k - WIDTH - 0.06, k + WIDTH + 0.06],
                    [100 * level.value] * 2,
                    color="#444444",
                    linestyle=dash,
                    linewidth=1.4,
                    label=label if k == 0 else None,
                )
                if k == 0:
                    lines.append(line)
    axes.legend(handles=lines, loc="lower left", frameon=False, fontsize=8.5)
    axes.set_ylim(min(0, axes.get_ylim()[0]), 103)
    axes.set_ylabel("% right")
    axes.set_title("What linear probes read of the objects behind the bridge", loc="left")


def _draw_rank(axes: Axes, diagnoses: Diagnoses) -> None:
    _draw_by_bridge(axes, diagnoses, "rank/within_image", scale=1.0)
    axes.set_ylim(0, None)
    axes.set_ylabel("effective rank")
    axes.set_title("Tokens of one image", loc="left")
