"""Inside the bridges: what answers depend on, what clutter costs, what linear probes read, and how many directions tokens span."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from bridgelab.report.charts.encodings import LARGE, BridgeScales, layered, number
from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.palette import GREY
from bridgelab.report.diagnosis.record import PROBE_TARGETS, Diagnosis, pooled_number
from bridgelab.report.row import label

Diagnoses = Mapping[str, Sequence[Diagnosis]]
ROW_HEIGHT = 15  # pixels a bridge takes


@dataclass(frozen=True)
class Panel:
    """One chart of the figure.

    Args:
        title: what it shows.
        axis: the unit.
        groups: by the name of a recorded number, what is printed for it.
        scale: from the recorded number to the printed one.
    """

    title: str
    axis: str
    groups: Mapping[str, str]
    scale: float = 100


PANELS = (
    Panel(
        "Right answers without the patches of …",
        "drop of log-probability, nats",
        {
            "selection/visited": "visited objects",
            "selection/others": "as many of others",
            "selection/background": "as many of background",
            "selection/random": "as many at random",
        },
        1,
    ),
    Panel("Selection", "share of the drop on visited objects, %", {"selection/selection": "selection"}),
    Panel("What clutter costs", "accuracy lost, points", {"clutter/cost": "clutter"}),
    Panel(
        "What probes read of the objects behind the bridge",
        "% right; of place R² × 100",
        {f"probe/tokens/{target}": target for target in PROBE_TARGETS},
    ),
    Panel("Tokens of one image", "effective rank", {"rank/within_image": "rank"}, 1),
)
# Grey ticks beside the points of a panel, by the recorded number that they replace "selection" or "tokens" with.
TICKS = {"selection/selection": {"selection/base": "at random"}} | {
    f"probe/tokens/{target}": {
        f"probe/patches/{target}": "before the bridge",
        f"probe/guessed/{target}": "a guess",
    }
    for target in PROBE_TARGETS
}


def inside_figure(diagnoses: Diagnoses) -> Figure | None:
    """Return a chart for each kind of number that was measured; None if there is none."""
    frames = {panel.title: inside_numbers(diagnoses, panel) for panel in PANELS}
    drawn = [panel for panel in PANELS if len(frames[panel.title])]
    if not drawn:
        return None
    scales = BridgeScales(list(diagnoses), [label(name) for name in diagnoses])
    note = (
        "Points are means over seeds and examples with 95 % intervals. Grey ticks are what there is to compare with: chance, the "
        "patches before the bridge (right tick), a guess (left tick)."
    )
    charts = tuple(_chart(frames[panel.title], panel, scales) for panel in drawn)
    return Figure("inside", "Inside the bridges", note, charts)


def inside_numbers(diagnoses: Diagnoses, panel: Panel) -> pd.DataFrame:
    """Return one row for each number of a panel and bridge; `bridge` is empty where a number is there to compare with."""
    rows = []
    for name, group in panel.groups.items():
        for bridge, runs in diagnoses.items():
            for key, of in {name: label(bridge), **TICKS.get(name, {})}.items():
                if (estimate := pooled_number(runs, key)) is None:
                    continue
                own = key == name
                low, high = estimate.interval if own else (np.nan, np.nan)
                rows.append(
                    {"panel": panel.title, "group": group, "bridge": of if own else "", "of": label(bridge)}
                    | {"compared with": "" if own else of, "value": _rounded(panel.scale * estimate.value)}
                    | {"low": _rounded(panel.scale * low), "high": _rounded(panel.scale * high)}
                )
    frame = pd.DataFrame(rows)
    return frame if len(frame) and (frame["bridge"] != "").any() else frame.iloc[:0]


def _chart(frame: pd.DataFrame, panel: Panel, scales: BridgeScales) -> alt.LayerChart:
    groups = list(dict.fromkeys(frame["group"]))
    axis = alt.Axis(title=panel.axis, tickCount=5, grid=True)
    one = len(groups) == 1
    left = alt.Axis(title=None, labels=not one, tickBand="extent", grid=True, labelLimit=120)
    y = alt.Y("group:N", sort=groups, axis=left, scale=alt.Scale(padding=0))
    place = alt.Scale(domain=scales.labels, paddingOuter=0.5)
    tooltip = [alt.Tooltip("of:N", title="bridge"), alt.Tooltip("group:N"), number("value", panel.axis)]
    own = alt.Chart(frame[frame["bridge"] != ""]).encode(
        y=y,
        yOffset=alt.YOffset("of:N", sort=scales.labels, scale=place),
        color=scales.colour(),
        tooltip=[*tooltip, number("low", "from"), number("high", "to")],
    )
    x = alt.X("value:Q", axis=axis, scale=alt.Scale(zero=True))
    layers = [
        own.mark_rule(strokeWidth=2, opacity=0.5).encode(
            x=alt.X("low:Q", axis=axis, scale=alt.Scale(zero=True)), x2="high:Q"
        ),
        own.mark_point(filled=True, size=LARGE, opacity=1).encode(x=x, shape=scales.shape()),
    ]
    beside = frame[frame["bridge"] == ""]
    if len(beside):
        ticks = alt.Chart(beside.rename(columns={"compared with": "reference"})).encode(
            y=y,
            yOffset=alt.YOffset("of:N", sort=scales.labels, scale=place),
            x=x,
            tooltip=[*tooltip, alt.Tooltip("reference:N", title="of")],
        )
        layers.append(ticks.mark_tick(color=GREY, thickness=2, size=ROW_HEIGHT - 3))
    height = ROW_HEIGHT * len(groups) * (len(scales.labels) + 1)
    title = alt.Title(panel.title, anchor="start", fontWeight="normal")
    return layered(layers, height).properties(title=title)


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
