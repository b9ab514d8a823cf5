"""The parts of a study's page below its answer: a figure, how to read it, and its numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.study import study_figures
from bridgelab.report.contents import Analysis, part_tables
from bridgelab.report.diagnosis.table import diagnosis_notes
from bridgelab.report.matched_controls import controls
from bridgelab.report.notes import (
    on_consistency,
    on_convergence,
    on_intervals,
    on_kinds,
    on_references,
    on_the_gap,
    on_words_in_two_forms,
)
from bridgelab.report.row import ALL
from bridgelab.report.table import Table
from bridgelab.report.tables.breakpoint import breakpoint_sentences
from bridgelab.report.tables.shift import shift_sentences, shift_table
from bridgelab.report.tables.study import (
    accuracy_table,
    caption_table,
    captioned_table,
    cost_table,
    gap_table,
)


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        name: its anchor.
        title: its heading; the figure's, if there is one.
        short: its name in the navigation.
        figure: None for a part of tables alone.
        reading: how to read its numbers, as sentences.
        tables: its numbers.
    """

    name: str
    title: str
    short: str
    figure: Figure | None
    reading: tuple[str, ...]
    tables: tuple[Table, ...]


# Name, entry of the navigation, and the title of a part that has no figure.
PARTS = (
    ("shift", "Shift", "The change on another split"),
    ("sweep", "Sweep", ""),
    ("accuracy", "Accuracy", "Accuracy by kind of question"),
    ("gap", "Gap closed", "Gap closed"),
    ("difficulty", "Difficulty", "Accuracy against difficulty"),
    ("break-map", "Map", ""),
    ("budgets", "Training", "Training"),
    ("costs", "Costs", "Costs"),
    ("captions", "Captions", "Captions"),
    ("inside", "Inside", "Inside the bridges"),
)


def sections(analysis: Analysis) -> list[Section]:
    """Return every part that has a figure or numbers, in the order of the page."""
    figures = {
        figure.name: figure
        for figure in study_figures(
            analysis.study, analysis.summary, analysis.difficulties, analysis.break_map, analysis.diagnoses
        )
    }
    tables = {name: tuple(table for table in found if table) for name, found in _tables(analysis).items()}
    reading = _reading(analysis)
    return [
        Section(
            name,
            figure.title if (figure := figures.get(name)) else title,
            short,
            figure,
            tuple(reading.get(name, ())),
            tables.get(name, ()),
        )
        for name, short, title in PARTS
        if name in figures or tables.get(name)
    ]


def _tables(analysis: Analysis) -> dict[str, Iterable[Table | None]]:
    summary = analysis.summary
    return {
        "shift": [shift_table(analysis.shift) if analysis.shift else None],
        "accuracy": [_with_rows(accuracy_table(summary))],
        "gap": [_with_rows(gap_table(summary))],
        "costs": [_with_rows(cost_table(summary))],
        "captions": [_with_rows(caption_table(summary)), _with_rows(captioned_table(summary))],
        **part_tables(analysis),
    }


def _reading(analysis: Analysis) -> dict[str, list[str]]:
    summary, judged = analysis.summary, analysis.verdict
    return {
        "shift": shift_sentences(analysis.shift) if analysis.shift else [],
        "accuracy": [
            *on_kinds(analysis.study),
            *on_references(summary),
            on_intervals(summary),
            *on_consistency(summary),
            *on_words_in_two_forms(summary),
        ],
        "gap": [on_the_gap(summary)],  # if there is a gap; else the page says why under its runs
        "difficulty": breakpoint_sentences(analysis.breakpoints, judged.baseline, judged.delta)
        if judged
        else [],
        "budgets": on_convergence(summary),
        "costs": controls(analysis.study, judged.baseline) if judged else [],
        "captions": []
        if summary.questions[ALL]
        else [on_intervals(summary)],  # of both, it stands by the accuracies
        "inside": list(diagnosis_notes(analysis.diagnoses)),
    }


def _with_rows(table: Table) -> Table | None:
    return table if table.rows else None
