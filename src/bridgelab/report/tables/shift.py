"""What another split changes: runs that `bridgelab evaluate` put to it, beside what they answered in their own study.

The same runs answered both, so a bridge's change is paired by run, and so is the change of the baseline's difference to it, a
difference of differences with the variance of `contrast`. Images of the same number are drawn together: where a bend leaves scenes
alone they show the same scene, and where it does not that costs nothing.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bridgelab.report.summary import by_role, label
from bridgelab.report.table import Cell, Table, percent
from bridgelab.report.tables.verdict import finding_cell
from bridgelab.runs.predictions import IMAGE_VIEW
from bridgelab.runs.study import Study, read_study
from bridgelab.statistics.comparison import contrasts_to_baseline, rows_to_compare
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.gap_closed import Ratio, ratio
from bridgelab.statistics.verdict import Finding, judge

FLOOR = "blind"


@dataclass(frozen=True)
class Shift:
    """One split beside the plain one.

    Args:
        plain: its name.
        split: the name of the other.
        baseline: whose differences are looked at.
        delta: the least change that matters.
        accuracy: by row, on the plain split and on the other.
        kept: by row, which share of what stood above the blind floor still does; none without such a floor.
        change: by comparator, of baseline − comparator from the one to the other.
    """

    plain: str
    split: str
    baseline: str
    delta: float
    accuracy: dict[str, tuple[Estimate, Estimate]]
    kept: dict[str, Ratio | None]
    change: dict[str, Finding]


def shift_of(study: Study) -> Shift | None:
    """What a study of evaluations on another split of the same benchmark changes.

    Returns:
        None where the study is another one, or the one that its runs were trained in is not beside it.
    Raises:
        ValueError: if that one's records cannot be read.
    """
    record = study.runs[0].record
    split, trained_in = str(record.get("split", "")), record.get("trained_in")
    plain, dash, _ = split.partition("-")
    if not dash or not trained_in or record["benchmark"] != f"{record.get('trained_on')}_{split}":
        return None
    if not (study.path.parent / trained_in).is_dir():
        return None
    both, shifted = beside(read_study(study.path.parent / trained_in), study, split, plain)
    if not both.runs:
        return None
    baseline, delta, _ = declaration(both)
    sample = Sample(both.clusters[both.questions.index])
    accuracy = {}
    for name in by_role(both):
        scores, own = both.scores(name), Runs(tuple(run.data_seed for run in both.of(name)))
        accuracy[name] = (sample.mean(scores, own, ~shifted), sample.mean(scores, own, shifted))
    floor = accuracy.get(FLOOR)
    kept = (
        {name: ratio(after - floor[1], before - floor[0]) for name, (before, after) in accuracy.items()}
        if floor
        else {}
    )
    compared = rows_to_compare(both, baseline)
    found = (
        contrasts_to_baseline(both, baseline, {"": [(1.0, shifted), (-1.0, ~shifted)]}) if compared else {}
    )
    open_ended = {name for name, first in compared.items() if not_converged(both, (first, name))}
    change = judge({name: one for (name, _), one in found.items()}, delta=delta, at_budget=open_ended)
    return Shift(plain, split, baseline, delta, accuracy, kept, change)


def beside(first: Study, second: Study, split: str, plain: str) -> tuple[Study, np.ndarray]:
    """The runs that stand in both studies, with the questions of both, and which of these are the second's [example]."""
    asked = [first.questions, second.questions]
    asked[1] = asked[1].assign(image=asked[1]["image"].str.replace(split, plain, regex=False))
    runs = []
    for run in second.runs:
        own = [one for one in first.of(run.row) if (one.seed, one.data_seed) == (run.seed, run.data_seed)]
        if own:
            parts = [
                one.scores[IMAGE_VIEW][table.index] for one, table in zip((own[0], run), asked, strict=True)
            ]
            runs.append(replace(run, scores={IMAGE_VIEW: np.concatenate(parts)}))
    examples = pd.concat(asked, ignore_index=True)
    return (
        replace(second, runs=tuple(runs), missing=(), examples=examples),
        np.arange(len(examples)) >= len(asked[0]),
    )


def shift_table(shift: Shift) -> Table:
    """One row a bridge, floor or ceiling: its accuracy on both, the change, and that of the baseline's difference to it."""
    rows = []
    for name, (before, after) in shift.accuracy.items():
        kept = percent(shift.kept.get(name), digits=0)
        change = (percent(after - before, unit="points"), kept, finding_cell(shift.change.get(name)))
        rows.append(("shift", (Cell(label(name)), percent(before), percent(after), *change)))
    heads = (
        "bridge", shift.plain, shift.split, "change", "kept above blind, %", f"change of {shift.baseline} − it",
    )  # fmt: skip
    return Table(f"What {shift.split} changes: accuracy, %, and points, 95 % intervals", heads, tuple(rows))


def shift_sentences(shift: Shift) -> list[str]:
    """How the last column is to be read."""
    if not shift.change:
        return []
    kept = (
        "Kept above blind: which share of what a row had above the blind floor it still has. Where all come near the floor, differences "
        "shrink by themselves, and a change of them says less than what was kept."
    )
    return [
        f"From {shift.plain} to {shift.split}: the change of {shift.baseline}'s difference to a bridge breaks where {shift.baseline} loses "
        f"over {100 * shift.delta:g} points more than it, leads where it loses so many less, and holds within ±{100 * shift.delta:g}; as "
        f"in the verdict, over all {len(shift.change)} (Holm).",
        *([kept] if shift.kept else []),
    ]
