"""Accuracy against difficulty: a line for each bridge with a band for its 95 % interval."""

import altair as alt
import pandas as pd

from bridgelab.report.charts.encodings import interval, points, scales_of
from bridgelab.report.charts.lines import line_chart
from bridgelab.report.row import label, short_label
from bridgelab.report.summary import Summary
from bridgelab.report.tables.difficulty import Difficulty


def difficulty_numbers(difficulty: Difficulty, summary: Summary) -> pd.DataFrame:
    """Return one row for each bridge, floor or ceiling and level of one tag."""
    roles = {row.name: row.role for row in summary.rows}
    rows = [
        {
            "bridge": short_label(label(name)),
            "role": roles.get(name, "floor"),
            "name": name,
            "level": level,
            "questions": questions,
            "accuracy": points(estimate.value),
            **interval(estimate),
        }
        for name, estimates in difficulty.accuracy.items()
        for level, questions, estimate in zip(difficulty.levels, difficulty.questions, estimates, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(tag=difficulty.tag.replace("_", " "))
    return frame[["tag", "level", "questions", "bridge", "role", "name", "accuracy", "low", "high"]]


def difficulty_chart(
    difficulty: Difficulty, summary: Summary, domain: tuple[float, float] | None = None
) -> alt.LayerChart:
    """Draw accuracy over the levels of one tag, from the easiest on.

    Args:
        difficulty: accuracy by the levels of the tag.
        summary: of the same study.
        domain: of the axis of accuracy, for charts that are to be compared.
    """
    frame = difficulty_numbers(difficulty, summary).rename(columns={"level": "x"})
    title = difficulty.tag.replace("_", " ")
    axis = alt.Axis(title=title, labelAngle=0, grid=False)
    x = alt.X("x:O", sort=list(difficulty.levels), axis=axis, scale=alt.Scale(type="point"))
    rows = [row for row in summary.bridges if row.name in difficulty.accuracy]
    return line_chart(frame, x, scales_of(rows), title=title, domain=domain)
