"""What another split changes: runs that `bridgelab evaluate` scored on it, beside their scores in their own study.

The same runs answered both splits. So a bridge's change is paired by run, and the change of the baseline's difference to it is a
difference of differences with the variance of `contrast`. Images with the same number are drawn together: if the split leaves the
scenes unchanged they show the same scene, and pairing images that do not costs nothing.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.report.row import by_role, label
from bridgelab.report.table import Cell, Table, percent_cell
from bridgelab.report.tables.verdict import finding_cell
from bridgelab.runs.comparability import configured
from bridgelab.runs.predictions import IMAGE_VIEW
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.gap_closed import Ratio, ratio
from bridgelab.statistics.outcome import Finding, judge
from bridgelab.statistics.verdict import averages_seeds_of, contrasts_to_baseline, rows_to_compare

FLOOR = "blind"
# Keys that change answers on any split: what they do is no effect of the split.
ANSWERING = ("evaluate.tokens", "evaluate.num_beams")


@dataclass(frozen=True)
class Shift:
    """One split beside the plain one.

    Args:
        plain: name of the plain split.
        split: name of the other split.
        baseline: the bridge whose differences are judged.
        delta: the least change that matters.
        accuracy: by row, on the plain split and on the other.
        kept: by row, the share of its lead over the blind floor that it keeps; empty without such a floor.
        change: by comparator, of baseline − comparator from the plain split to the other.
    """

    plain: str
    split: str
    baseline: str
    delta: float
    accuracy: dict[str, tuple[Estimate, Estimate]]
    kept: dict[str, Ratio | None]
    change: dict[str, Finding]


def shift_of(study: Study) -> Shift | None:
    """Compare a study of evaluations on another split with the study that its runs were trained in.

    Returns:
        None if the study is no such one, if the study that its runs were trained in is not in the same folder or has scores of
        another split than the plain one, or if the two studies answered in two ways.
    Raises:
        ValueError: if the records of that study cannot be read.
    """
    record = study.runs[0].record
    split, trained_in = str(record.get("split", "")), record.get("trained_in")
    plain, dash, _ = split.partition("-")
    if not dash or not trained_in or record["benchmark"] != f"{record.get('trained_on')}_{split}":
        return None
    if not study.beside(trained_in).is_dir():
        return None
    try:
        first = read_study(study.beside(trained_in), allow=study.allow, every_key=False)
    except ValueError as error:
        raise ValueError(
            f"{study.name} is compared with {trained_in}, which its runs were trained in, and the same --allow holds for both. {error}"
        ) from error
    # Else other scenes and questions would be compared, or another way of answering.
    if str(first.runs[0].record.get("split", "test")) != plain or _answering(first) != _answering(study):
        return None
    return shift_between(first, study, split, plain)


def _answering(study: Study) -> set[tuple[Any, ...]]:
    """Return how the runs of a study answered: their values of `ANSWERING`."""
    return {tuple(configured(run.path).get(key) for key in ANSWERING) for run in study.runs}


def shift_between(first: Study, second: Study, split: str, plain: str) -> Shift | None:
    """Compare runs on two splits. They are paired as in `join_splits`, and may have been trained apart.

    Args:
        first: the study on the plain split.
        second: the study on the other split.
        split: the other split's name.
        plain: the plain split's name.
    Returns:
        None if no run of one study is in the other, or one has no questions.
    """
    joined, on_split = join_splits(first, second, split, plain)
    if not joined.runs or first.questions.empty or second.questions.empty:
        return None
    baseline, delta, _ = declaration(joined)
    accuracy = _accuracy(joined, on_split)
    return Shift(
        plain=plain,
        split=split,
        baseline=baseline,
        delta=delta,
        accuracy=accuracy,
        kept=_kept(joined, accuracy),
        change=_changes(joined, on_split, baseline, delta),
    )


def _accuracy(joined: Study, on_split: np.ndarray) -> dict[str, tuple[Estimate, Estimate]]:
    sample = Sample(joined.clusters[joined.questions.index])
    accuracy = {}
    for name in by_role(joined):
        scores, seeds = joined.scores(name), Runs(tuple(run.data_seed for run in joined.of(name)))
        accuracy[name] = (sample.mean(scores, seeds, ~on_split), sample.mean(scores, seeds, on_split))
    return accuracy


def _kept(joined: Study, accuracy: dict[str, tuple[Estimate, Estimate]]) -> dict[str, Ratio | None]:
    kept = {}
    for name, (before, after) in accuracy.items():
        if floor := joined.counterpart(name, FLOOR):
            below, under = accuracy[floor]
            kept[name] = ratio(after - under, before - below)
    return kept


def _changes(joined: Study, on_split: np.ndarray, baseline: str, delta: float) -> dict[str, Finding]:
    compared = rows_to_compare(joined, baseline)
    if not compared:
        return {}
    changes = contrasts_to_baseline(joined, baseline, {"": [(1.0, on_split), (-1.0, ~on_split)]})
    open_ended = {name for name, first in compared.items() if not_converged(joined, (first, name))}
    averaged = {name for name, first in compared.items() if averages_seeds_of(joined, (first, name))}
    return judge(
        {name: change for (name, _), change in changes.items()},
        delta=delta,
        at_budget=open_ended,
        averaged=averaged,
    )


def join_splits(first: Study, second: Study, split: str, plain: str) -> tuple[Study, np.ndarray]:
    """Join the runs that are in both studies, with the questions of both.

    An evaluation keeps its run's name, so runs of one name, bridge and seed belong together; without such, those of one row and seed do.
    Rows alone do not tell: a study that varies less than the other does not name what that one varies.

    Args:
        first: the study on the plain split.
        second: the study on the other split.
        split: the other split's name, which is part of its images' names.
        plain: the plain split's name, which takes its place.
    Returns:
        The joined study, and which of its examples are the second study's [example].
    """
    questions = [first.questions, second.questions]
    questions[1] = questions[1].assign(image=questions[1]["image"].str.replace(split, plain, regex=False))
    by_name = {(one.path.name, one.bridge, one.seed, one.data_seed): one for one in first.runs}
    by_row = {(one.row, one.seed, one.data_seed): one for one in first.runs}
    runs = []
    for run in second.runs:
        seeds = (run.seed, run.data_seed)
        trained = by_name.get((run.path.name, run.bridge, *seeds)) or by_row.get((run.row, *seeds))
        if trained:
            scores = [
                one.scores[IMAGE_VIEW][table.index]
                for one, table in zip((trained, run), questions, strict=True)
            ]
            runs.append(replace(run, scores={IMAGE_VIEW: np.concatenate(scores)}))
    examples = pd.concat(questions, ignore_index=True)
    joined = replace(second, runs=tuple(runs), missing=(), examples=examples)
    return joined, np.arange(len(examples)) >= len(questions[0])


def shift_table(shift: Shift) -> Table:
    """Return one row per bridge, floor or ceiling: accuracy on both splits, its change, and that of the baseline's difference."""
    rows = []
    for name, (before, after) in shift.accuracy.items():
        cells = (
            Cell(label(name)),
            percent_cell(before),
            percent_cell(after),
            percent_cell(after - before, unit="points"),
            percent_cell(shift.kept.get(name), digits=0),
            finding_cell(shift.change.get(name)),
        )
        rows.append(("shift", cells))
    columns = (
        "bridge", shift.plain, shift.split, "change", "kept above blind, %", f"change of {shift.baseline} − it",
    )  # fmt: skip
    return Table(f"What {shift.split} changes: accuracy, %, and points, 95 % intervals", columns, tuple(rows))


def shift_sentences(shift: Shift) -> list[str]:
    """Explain the last two columns of the table; empty if no difference is judged."""
    if not shift.change:
        return []
    points = f"{100 * shift.delta:g}"
    sentences = [
        f"From {shift.plain} to {shift.split}: the change of {shift.baseline}'s difference to a bridge breaks where {shift.baseline} loses "
        f"over {points} points more than it, leads where it loses so many less, and holds within ±{points}; as "
        f"in the verdict, over all {len(shift.change)} (Holm)."
    ]
    if shift.kept:
        sentences.append(
            "Kept above blind: the share of its lead over the blind floor that a row keeps. Where all rows come near the floor, "
            "differences shrink by themselves, and a change of them says less than what is kept."
        )
    return sentences
