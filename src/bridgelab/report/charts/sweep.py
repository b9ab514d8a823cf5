"""A study that varies a number, drawn over that number: a line for each bridge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import BridgeScales, interval, kind_label, points
from bridgelab.report.charts.lines import line_chart
from bridgelab.report.row import label, short_label
from bridgelab.report.summary import Summary
from bridgelab.runs.study import Study

LOG_RATIO = 8  # of the largest to the smallest value, from which on the axis is logarithmic


@dataclass(frozen=True)
class Swept:
    """A number that a study varies.

    Args:
        key: the config key, such as "budget.tokens".
        value: the number of each row that has one, by the row's name.
        line: the rest of the row's name: the bridge, and the levels of what else is varied.
    """

    key: str
    value: Mapping[str, float]
    line: Mapping[str, str]

    @property
    def title(self) -> str:
        """The last part of the key in words."""
        return self.key.rsplit(".", 1)[-1].replace("_", " ")


def swept_number(study: Study) -> Swept | None:
    """Return the factor whose levels are numbers, at least two of them for some bridge; None if there is none.

    If there are several, the one with the most levels is returned.
    """
    levels = {name: study.of(name)[0].levels for name in study.bridges}
    best: Swept | None = None
    for key in dict.fromkeys(key for of in levels.values() for key in of):
        texts = {name: of[key] for name, of in levels.items() if of.get(key)}
        values = {name: value for name, text in texts.items() if (value := _number(text)) is not None}
        if len(values) < len(texts):
            continue
        line = {name: _without(name, key) for name in levels}
        counts = pd.Series({name: line[name] for name in values}, dtype=object).value_counts()
        if (
            len(counts)
            and counts.max() > 1
            and (best is None or len(set(values.values())) > len(set(best.value.values())))
        ):
            best = Swept(key, values, line)
    return best


def sweep_numbers(summary: Summary, swept: Swept) -> pd.DataFrame:
    """Return one row for each bridge, floor or ceiling, value of the number, and kind of question."""
    values = sorted(set(swept.value.values()))
    rows = [
        {
            "bridge": short_label(label(swept.line.get(row.name, row.name))),
            "role": row.role,
            "name": swept.line.get(row.name, row.name),
            "kind": kind_label(kind),
            swept.title: swept.value.get(row.name, values[0]),
            "accuracy": points(estimate.value),
            **interval(estimate),
        }
        for row in summary.rows
        if row.role != "bridge" or row.name in swept.value
        for kind, estimate in row.accuracy.items()
    ]
    return pd.DataFrame(rows)


def sweep_chart(summary: Summary, swept: Swept, kind: str) -> alt.LayerChart:
    """Draw accuracy on one kind of question over the number."""
    frame = sweep_numbers(summary, swept).rename(columns={swept.title: "x"})
    frame = frame[frame["kind"] == kind_label(kind)]
    values = sorted(set(swept.value.values()))
    logarithmic = values[0] > 0 and values[-1] / values[0] >= LOG_RATIO
    kind_of_scale = {"type": "log"} if logarithmic else {"type": "linear", "zero": False}
    scale = alt.Scale(nice=False, padding=16, **kind_of_scale)
    axis = alt.Axis(title=swept.title, values=values, format="~s", grid=False, labelOverlap=True)
    lines = frame[frame["role"] == "bridge"].drop_duplicates("name")
    scales = BridgeScales(list(lines["name"]), list(lines["bridge"]))
    chart = line_chart(frame, alt.X("x:Q", axis=axis, scale=scale), scales, title=swept.title)
    return chart.properties(title=alt.Title(kind_label(kind), anchor="start", fontWeight="normal"))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _without(name: str, key: str) -> str:
    """Return a row's name without one of its levels."""
    return ", ".join(part for part in name.split(", ") if not part.startswith(f"{key}="))
