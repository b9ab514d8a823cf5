"""One picture of a study's diagnoses: selection, clutter, and what probes read; the numbers are those of the tables."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridgelab.report.diagnosis.record import READ, number
from bridgelab.report.diagnosis.table import Diagnoses
from bridgelab.report.figures.style import plain, style, tidy
from bridgelab.statistics.estimate import Estimate

GROUPS = (
    ("visited", "visited\nobjects"),
    ("others", "as many\nof others"),
    ("background", "as many of\nbackground"),
    ("random", "as many\nat random"),
)
WIDTH = 0.36


def draw_diagnosis(found: Diagnoses) -> Figure | None:
    """Panels for what there are numbers of; None if there is nothing to draw."""
    panels = [
        (1.5, _falls, "selection/visited"),
        (1.0, _selection, "selection/base"),
        (1.0, _clutter, "clutter/cost"),
        (2.2, _probes, "probe/tokens/occupied"),
        (1.0, _rank, "rank/within_image"),
    ]
    drawn = [
        (width, draw)
        for width, draw, name in panels
        if any(number(runs, name) is not None for runs in found.values())
    ]
    if not drawn:
        return None
    rows = [drawn[:3], drawn[3:]] if len(drawn) > 3 else [drawn]
    figure = Figure(figsize=(11.5, 4.1 * len(rows) + 0.4), layout="constrained")
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axes = part.subplots(1, len(row), width_ratios=[width for width, _ in row], squeeze=False)[0]
        for panel, (_, draw) in zip(axes, row, strict=True):
            draw(panel, found)
            tidy(panel)
            panel.title.set_fontsize(10.5)
    handles, labels = figure.subfigs[0].axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(len(labels), 6), frameon=False, fontsize=9
    )
    return figure


def _points(
    axes: Axes, place: np.ndarray, estimates: Sequence[Estimate | None], index: int, label: str, scale: float
) -> None:
    known = [(x, one) for x, one in zip(place, estimates, strict=True) if one is not None]
    if not known:
        return
    colour, marker, _ = style(index)
    value = np.array([scale * one.value for _, one in known])
    low, high = (scale * np.array([one.interval for _, one in known])).T
    axes.errorbar(
        [x for x, _ in known],
        value,
        np.nan_to_num(np.maximum([value - low, high - value], 0)),
        fmt=marker,
        color=colour,
        markersize=6,
        elinewidth=1.6,
        label=plain(label),
    )


def _grouped(axes: Axes, found: Diagnoses, names: Sequence[str], heads: Sequence[str], scale: float) -> None:
    """A group of points for each number, a point for each bridge."""
    between = 2 * WIDTH / len(found)
    for index, (bridge, runs) in enumerate(found.items()):
        place = np.arange(len(names)) - WIDTH + between * (index + 0.5)
        _points(axes, place, [number(runs, name) for name in names], index, bridge, scale)
    axes.set_xticks(range(len(names)), list(heads))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _by_bridge(axes: Axes, found: Diagnoses, name: str, scale: float) -> None:
    """One point for each bridge."""
    for index, (bridge, runs) in enumerate(found.items()):
        _points(axes, np.array([index]), [number(runs, name)], index, bridge, scale)
    axes.set_xticks(range(len(found)), [plain(name.replace("_", "\n")) for name in found], fontsize=8.5)
    axes.set_xlim(-0.6, len(found) - 0.4)


def _falls(axes: Axes, found: Diagnoses) -> None:
    _grouped(
        axes, found, [f"selection/{name}" for name, _ in GROUPS], [head for _, head in GROUPS], scale=1.0
    )
    axes.axhline(0, color="#777777", linewidth=0.8)
    axes.set_ylabel("fall of log-probability, nats")
    axes.set_title("Right answers without the patches of …", loc="left")


def _selection(axes: Axes, found: Diagnoses) -> None:
    _by_bridge(axes, found, "selection/selection", scale=100)
    base = [one.value for runs in found.values() if (one := number(runs, "selection/base")) is not None]
    axes.axhline(100 * float(np.mean(base)), color="#777777", linestyle=":", linewidth=1.4)
    axes.text(
        len(found) - 0.45, 100 * float(np.mean(base)), "at random", ha="right", va="bottom", fontsize=8.5, color="#555555"
    )  # fmt: skip
    axes.set_ylim(min(0, axes.get_ylim()[0]), max(100, axes.get_ylim()[1]))
    axes.set_ylabel("share of the fall, %")
    axes.set_title("Selection", loc="left")


def _clutter(axes: Axes, found: Diagnoses) -> None:
    _by_bridge(axes, found, "clutter/cost", scale=100)
    axes.axhline(0, color="#777777", linewidth=0.8)
    axes.set_ylabel("accuracy lost, points")
    axes.set_title("What clutter costs", loc="left")


def _probes(axes: Axes, found: Diagnoses) -> None:
    heads = ["place\n(R² × 100)" if name == "place" else name for name in READ]
    _grouped(axes, found, [f"probe/tokens/{name}" for name in READ], heads, scale=100)
    first = next(iter(found.values()))[:1]
    for of, dash, label in (("patches", "-", "before the bridge"), ("guessed", ":", "a guess")):
        for k, name in enumerate(READ):
            if level := number(first, f"probe/{of}/{name}"):
                axes.plot(
                    [k - WIDTH - 0.06, k + WIDTH + 0.06],
                    [100 * level.value] * 2,
                    color="#444444",
                    linestyle=dash,
                    linewidth=1.4,
                    label=label if k == 0 else None,
                )
    handles = [line for line in axes.get_lines() if line.get_label() in ("before the bridge", "a guess")]
    axes.legend(handles=handles, loc="lower left", frameon=False, fontsize=8.5)
    axes.set_ylim(min(0, axes.get_ylim()[0]), 103)
    axes.set_ylabel("% right")
    axes.set_title("What linear probes read of the objects behind the bridge", loc="left")


def _rank(axes: Axes, found: Diagnoses) -> None:
    _by_bridge(axes, found, "rank/within_image", scale=1.0)
    axes.set_ylim(0, None)
    axes.set_ylabel("effective rank")
    axes.set_title("Tokens of one image", loc="left")
