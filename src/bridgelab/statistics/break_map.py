"""The break map: where the baseline breaks, by the levels of what studies vary and by kind of question.

A study that sweeps more than bridges and seeds has a level for each value of that; several studies are levels of one map, each by its
name. All cells of a map are one family (Holm); their outcomes are those of `statistics.outcome`. A cell is empty if a bridge has fewer
than three seeds, or another budget than the centre (the baseline in the first study): differences at other budgets would compare how
long bridges were trained.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridgelab.runs.run import Run, averages_seeds
from bridgelab.runs.study import Study
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.outcome import MIN_SEEDS, Finding, judge
from bridgelab.statistics.question_kinds import kind_masks
from bridgelab.statistics.verdict import cell_contrasts, rows_to_compare

MapRow = tuple[str, str]  # comparator, level
MapCell = tuple[str, str, str]  # comparator, level, kind of question


@dataclass(frozen=True)
class BreakMap:
    """The cells of one map.

    Args:
        baseline: the bridge whose map it is.
        delta: the least difference that matters.
        levels: in the order of the studies, and of each study's sweep.
        kinds: kinds of questions, in the order in which the studies have them.
        cells: by comparator, level and kind; empty cells are left out.
        empty: by comparator and level, why a row is empty.
        family: number of cells that Holm's correction is over, those of empty rows among them.
    """

    baseline: str
    delta: float
    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: dict[MapCell, Finding]
    empty: dict[MapRow, str]
    family: int

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([name for name, *_ in self.cells] + [name for name, _ in self.empty]))


@dataclass(frozen=True)
class _ComparedRow:
    """One comparator at one level of one study.

    Args:
        comparator: name of its bridge.
        level: name of its level in the map.
        contrasts: differences baseline − comparator by kind of question.
        converged: whether both bridges are shown to have converged.
        runs: the comparator's runs.
        baseline_runs: the baseline's runs at this level.
    """

    comparator: str
    level: str
    contrasts: dict[str, Contrast]
    converged: bool
    runs: Sequence[Run]
    baseline_runs: Sequence[Run]


def break_map(studies: Sequence[Study]) -> BreakMap:
    """Return the break map of some studies.

    Args:
        studies: as `read_study` returns them; the first holds the centre.
    Raises:
        ValueError: if there is no study, two have one name, they declare different baselines or δ, none has questions, or none of these
            compares two bridges.
    """
    baseline, delta = _common_declaration(studies)
    asked = [study for study in studies if kind_masks(study.examples)]
    rows = [row for study in asked for row in _compared_rows(study, baseline, alone=len(studies) == 1)]
    if not asked:
        names = ", ".join(study.name for study in studies)
        raise ValueError(
            f"a map is over kinds of questions, and no study has any: {names}. Of captions alone see bridgelab report."
        )
    if not rows:
        names = ", ".join(study.name for study in asked)
        raise ValueError(f"no study has {baseline} and another bridge that sees images: {names}. Run both.")
    centre = _budget(rows[0].baseline_runs)
    empty = {(row.comparator, row.level): why for row in rows if (why := _why_empty(row, centre))}
    contrasts: dict[MapCell, Contrast] = {}
    at_budget: set[MapCell] = set()
    averaged: set[MapCell] = set()
    for row in rows:
        cells = {(row.comparator, row.level, kind): cell for kind, cell in row.contrasts.items()}
        contrasts |= cells
        if not row.converged:
            at_budget |= set(cells)
        if averages_seeds(row.runs) or averages_seeds(row.baseline_runs):
            averaged |= set(cells)
    findings = judge(contrasts, delta=delta, at_budget=at_budget, averaged=averaged)
    return BreakMap(
        baseline,
        delta,
        tuple(dict.fromkeys(row.level for row in rows)),
        tuple(dict.fromkeys(kind for study in studies for kind in kind_masks(study.examples))),
        {key: finding for key, finding in findings.items() if key[:2] not in empty},
        empty,
        len(findings),
    )


def study_break_map(study: Study) -> BreakMap | None:
    """Return the map of one study; None if it compares its baseline at a single level, or has no questions."""
    if not kind_masks(study.examples):
        return None
    rows = rows_to_compare(study, declaration(study).baseline)
    levels = {str(study.of(name)[0].levels) for name in rows}
    return break_map([study]) if len(levels) > 1 else None


def _common_declaration(studies: Sequence[Study]) -> tuple[str, float]:
    """Return the baseline and δ that all studies declare."""
    if not studies:
        raise ValueError("a map needs at least 1 study.")
    if twice := [name for name, times in Counter(study.name for study in studies).items() if times > 1]:
        raise ValueError(
            f"{twice[0]} is the name of two of the {len(studies)} studies, and a map calls levels by their study. Give each study once, or "
            "rename a folder."
        )
    declared = {study.name: declaration(study)[:2] for study in studies}
    if len(set(declared.values())) > 1:
        listed = "; ".join(
            f"{name}: baseline={baseline}, delta={delta:g}" for name, (baseline, delta) in declared.items()
        )
        raise ValueError(
            f"a map has one baseline and one δ, and the studies declare {listed}. Make a map of those that agree."
        )
    return declared[studies[0].name]


def _compared_rows(study: Study, baseline: str, *, alone: bool) -> Iterator[_ComparedRow]:
    """Yield the comparators of a study.

    Args:
        study: one of the map's.
        baseline: the bridge whose map it is.
        alone: whether it is the map's only study; else its name is part of the level's.
    """
    baseline_rows = rows_to_compare(study, baseline)
    contrasts, _ = cell_contrasts(study, baseline) if baseline_rows else ({}, {})
    for name, baseline_row in baseline_rows.items():
        runs = study.of(name)
        yield _ComparedRow(
            comparator=runs[0].bridge,
            level=_level(study, name, alone=alone),
            contrasts={kind: cell for (comparator, kind), cell in contrasts.items() if comparator == name},
            converged=not not_converged(study, (baseline_row, name)),
            runs=runs,
            baseline_runs=study.of(baseline_row),
        )


def _level(study: Study, row: str, *, alone: bool) -> str:
    """Return the name of a row's level: what the study varies, after the study's name if there are several."""
    levels = ", ".join(f"{name}={level}" for name, level in study.of(row)[0].levels.items() if level)
    if not levels:
        return study.name
    return levels if alone else f"{study.name}: {levels}"


def _budget(runs: Sequence[Run]) -> int:
    return int(runs[0].record.get("examples_seen", 0))


def _why_empty(row: _ComparedRow, centre: int) -> str:
    """Return why the cells of a row are empty, or an empty string.

    Args:
        row: one comparator at one level.
        centre: examples that the centre was trained on.
    """
    fewest = min(len(row.runs), len(row.baseline_runs))
    if fewest < MIN_SEEDS:
        return f"{fewest} of at least {MIN_SEEDS} seeds"
    others = {_budget([run]) for run in (*row.runs, *row.baseline_runs)} - {centre}
    return f"trained on {max(others):,} examples, the centre on {centre:,}" if others else ""
