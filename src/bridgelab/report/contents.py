"""What the report of a study holds: its results, computed once, and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bridgelab.report.diagnosis.record import Diagnosis, read_diagnoses
from bridgelab.report.diagnosis.table import diagnosis_notes, diagnosis_tables
from bridgelab.report.matched_controls import controls
from bridgelab.report.summary import Summary, summarize
from bridgelab.report.table import StudyTables, Table
from bridgelab.report.tables.break_map import break_map_tables
from bridgelab.report.tables.breakpoint import breakpoint_sentences, breakpoint_table
from bridgelab.report.tables.difficulty import Difficulty, by_difficulty, difficulty_table
from bridgelab.report.tables.lr_search import lr_search_table, rate_choice_table
from bridgelab.report.tables.question_families import family_table
from bridgelab.report.tables.seed_variance import seed_variance_table
from bridgelab.report.tables.shift import Shift, shift_of, shift_sentences, shift_table
from bridgelab.report.tables.study import study_tables
from bridgelab.report.tables.training import budget_table, curve_table, start_table
from bridgelab.report.tables.verdict import outlier_seeds, verdict_sentences, verdict_table
from bridgelab.runs.study import Study
from bridgelab.statistics.break_map import BreakMap, study_break_map
from bridgelab.statistics.breakpoint import Breakpoint, breakpoints
from bridgelab.statistics.verdict import Verdict, verdict


@dataclass(frozen=True)
class Analysis:
    """The results that tables and charts share, each computed once.

    Args:
        study: the study.
        summary: its rows.
        verdict: None without two bridges to compare.
        breakpoints: of the verdict's differences; empty without a tag that counts something.
        shift: None unless the study evaluates another study's runs on another split.
        difficulties: accuracy by each tag that counts something.
        break_map: None if the study varies nothing but bridges and seeds.
        diagnoses: what `bridgelab diagnose` measured, by row; empty if it was not run.
    """

    study: Study
    summary: Summary
    verdict: Verdict | None
    breakpoints: Sequence[Breakpoint]
    shift: Shift | None
    difficulties: Sequence[Difficulty]
    break_map: BreakMap | None
    diagnoses: Mapping[str, Sequence[Diagnosis]]


def analyze(study: Study) -> Analysis:
    """Compute all that the report of a study needs.

    Raises:
        ValueError: if the runs declare different baselines or δ, if the diagnoses cannot be compared, or if the study that the runs
            were trained in cannot be read.
    """
    judged = verdict(study)
    return Analysis(
        study=study,
        summary=summarize(study),
        verdict=judged,
        breakpoints=breakpoints(study) if judged else (),
        shift=shift_of(study),
        difficulties=by_difficulty(study),
        break_map=study_break_map(study),
        diagnoses=read_diagnoses(study.path, study.runs),
    )


def short_tables(analysis: Analysis) -> StudyTables:
    """Return the tables for the terminal: accuracy or captions, the verdict, the change on another split, costs."""
    content = study_tables(analysis.summary)
    added: list[Table] = []
    sentences: list[str] = []
    if judged := analysis.verdict:
        added.append(verdict_table(judged))
        sentences += [
            *verdict_sentences(judged),
            *outlier_seeds(analysis.study),
            *breakpoint_sentences(analysis.breakpoints, judged.baseline, judged.delta),
            *controls(analysis.study, judged.baseline),
        ]
    if analysis.shift:
        added.append(shift_table(analysis.shift))
        sentences += shift_sentences(analysis.shift)
    tables = (*content.tables[:1], *added, *content.tables[1:])
    return replace(content, tables=tables, verdict=tuple(sentences))


def part_tables(analysis: Analysis) -> dict[str, list[Table]]:
    """Return the tables that are too long for a terminal, by the part of the page that shows them."""
    study, summary, judged = analysis.study, analysis.summary, analysis.verdict
    points = (
        breakpoint_table(analysis.breakpoints, judged.baseline) if judged and analysis.breakpoints else None
    )
    found = {
        "break-map": break_map_tables(analysis.break_map) if analysis.break_map else (),
        "difficulty": [points, *map(difficulty_table, analysis.difficulties), family_table(study)],
        "budgets": [
            start_table(summary),
            budget_table(summary),
            curve_table(summary),
            lr_search_table(study),
            rate_choice_table(study),
            seed_variance_table(study),
        ],
        "inside": diagnosis_tables(analysis.diagnoses),
    }
    return {part: [table for table in tables if table] for part, tables in found.items()}


def long_tables(analysis: Analysis, short: StudyTables) -> StudyTables:
    """Return the tables for files: the short ones, then those that are too long for a terminal."""
    return replace(
        short,
        tables=(*short.tables, *chain.from_iterable(part_tables(analysis).values())),
        notes=(*short.notes, *diagnosis_notes(analysis.diagnoses)),
    )
