"""All figures of a study, in the order of its page."""

import math
from collections.abc import Sequence

import pandas as pd

from bridgelab.report.charts.accuracy import accuracy_chart
from bridgelab.report.charts.break_map import break_map_chart, legend_text
from bridgelab.report.charts.budgets import budget_chart
from bridgelab.report.charts.captions import caption_chart
from bridgelab.report.charts.costs import cost_chart, costs_to_draw
from bridgelab.report.charts.difficulty import difficulty_chart, difficulty_numbers
from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.gap import gap_chart
from bridgelab.report.charts.inside import Diagnoses, inside_figure
from bridgelab.report.charts.lines import WIDEST
from bridgelab.report.charts.sweep import sweep_chart, swept_number
from bridgelab.report.row import counted
from bridgelab.report.summary import Summary
from bridgelab.report.tables.difficulty import Difficulty
from bridgelab.runs.study import Study
from bridgelab.statistics.break_map import BreakMap

MOST_TAGS = 3  # charts of difficulty
BANDS = f"Bands are 95 % intervals over seeds and images, drawn up to a width of {WIDEST} points; grey lines are floors and ceilings."


def study_figures(
    study: Study,
    summary: Summary,
    difficulties: Sequence[Difficulty],
    break_map: BreakMap | None,
    diagnoses: Diagnoses | None = None,
) -> list[Figure]:
    """Return every figure that there is something to draw of; the first is the study's own picture.

    Args:
        study: as `read_study` returns it.
        summary: its rows.
        difficulties: accuracy by each tag that counts something.
        break_map: None if the study varies nothing but bridges and seeds.
        diagnoses: what `bridgelab diagnose` measured, by bridge; None if it was not run.
    """
    found = [
        sweep_figure(study, summary),
        accuracy_figure(summary),
        gap_figure(summary),
        difficulty_figure(difficulties, summary),
        budget_figure(summary),
        cost_figure(summary),
        caption_figure(summary),
        break_map_figure(break_map) if break_map else None,
        inside_figure(diagnoses) if diagnoses else None,
    ]
    return [figure for figure in found if figure]


def accuracy_figure(summary: Summary) -> Figure | None:
    """Return accuracy by kind of question; None if no row answered a question."""
    if not any(row.accuracy for row in summary.bridges):
        return None
    note = (
        f"Large shapes are means, bars their 95 % intervals over {counted(summary.rows)} and images, dots single "
        f"{counted(summary.rows)}; grey lines are floors and ceilings."
    )
    return Figure("accuracy", "Accuracy by kind of question", note, (accuracy_chart(summary),))


def gap_figure(summary: Summary) -> Figure | None:
    """Return the gap closed; None if there is none to close."""
    chart = gap_chart(summary)
    if chart is None:
        return None
    note = (
        "How far each bridge comes from answers without an image (0 %) to answers from words (100 %). Bars are 95 % intervals; "
        "those that leave the axis are cut."
    )
    return Figure("gap", "Gap closed", note, (chart,))


def difficulty_figure(difficulties: Sequence[Difficulty], summary: Summary) -> Figure | None:
    """Return accuracy against difficulty, a chart for each of the first tags; None without a tag that counts something."""
    if not difficulties:
        return None
    drawn = difficulties[:MOST_TAGS]
    numbers = pd.concat([difficulty_numbers(one, summary) for one in drawn], ignore_index=True)
    note = f"From easy to hard. {BANDS}"
    ends = numbers[["low", "high"]].astype(float)
    ends = ends[ends["high"] - ends["low"] <= WIDEST]
    values = pd.concat([numbers["accuracy"].astype(float), ends["low"], ends["high"]]).dropna()
    domain = (5 * math.floor(values.min() / 5), 5 * math.ceil(values.max() / 5))
    charts = tuple(difficulty_chart(one, summary, domain) for one in drawn)
    return Figure("difficulty", "Accuracy against difficulty", note, charts)


def budget_figure(summary: Summary) -> Figure | None:
    """Return learning curves and budgets; None without any."""
    chart = budget_chart(summary)
    if chart is None:
        return None
    note = "Thin lines are seeds, thick lines their means. Points are budgets, each trained with a schedule of its own."
    title = f"{summary.curve_of.capitalize()} against training budget"
    return Figure("budgets", title, note, (chart,))


def cost_figure(summary: Summary) -> Figure | None:
    """Return accuracy against costs; None if no cost is known of two bridges."""
    charts = tuple(cost_chart(summary, cost) for cost in costs_to_draw(summary))
    note = "Filled: no bridge that costs as little or less is shown to be better, at 5 % over all pairs of a chart."
    return Figure("costs", "Accuracy against cost", note, charts) if charts else None


def caption_figure(summary: Summary) -> Figure | None:
    """Return captions against questions; None for fewer than two bridges with both."""
    chart = caption_chart(summary)
    if chart is None:
        return None
    note = "A bridge that sees less well lies further left and lower; one that only reasons less well lies lower."
    return Figure("captions", "Captions against reasoning", note, (chart,))


def break_map_figure(cells: BreakMap) -> Figure:
    """Return the break map."""
    title = f"Where {cells.baseline} breaks: its accuracy less each bridge's, points"
    note = f"{legend_text()}. A dashed edge marks an outcome at this budget."
    return Figure("break-map", title, note, (break_map_chart(cells),))


def sweep_figure(study: Study, summary: Summary) -> Figure | None:
    """Return accuracy over the number that a study varies, a chart for each kind of question; None without a number or an answer."""
    swept = swept_number(study)
    if swept is None or not any(row.accuracy for row in summary.bridges):
        return None
    charts = tuple(sweep_chart(summary, swept, kind) for kind in summary.questions)
    note = f"One line a bridge. {BANDS}"
    return Figure("sweep", f"Accuracy over {swept.title}", note, charts)
