"""The cells of a study's verdict: the baseline beside every other bridge, over each kind of question, and the headline.

The headline tells reasoning from seeing: the difference over questions that take reasoning less that over the control, which takes
seeing alone: captions (attributes right) and, where questions have programs, an attribute of one object asked for without any hop. A
bridge that sees less well answers both less well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.runs.study import Study
from bridgelab.statistics.contrast import Contrast, Part, contrast, part
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.question_kinds import in_order, reasoning_type
from bridgelab.statistics.verdict import Finding, judge

HEADLINE = "reasoning beyond seeing"


@dataclass(frozen=True)
class Verdict:
    """What a study says of its baseline.

    Args:
        baseline: the bridge that is compared.
        delta: the least difference that matters.
        cells: by comparator and kind of question: the difference baseline − comparator.
        headline: by comparator; empty where there is no control.
        questions: how many each kind has.
        declared: whether baseline and δ stand in the records, or are the defaults of this version.
    """

    baseline: str
    delta: float
    cells: dict[tuple[str, str], Finding]
    headline: dict[str, Finding]
    questions: dict[str, int]
    declared: bool

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(comparator for comparator, _ in self.cells))

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for _, kind in self.cells))


def verdict(study: Study) -> Verdict | None:
    """Judge a study's baseline against every other bridge that sees images; None where there is no such pair, or no question.

    Raises:
        ValueError: if runs declare different baselines or δ.
    """
    baseline, delta, declared = declaration(study)
    beside = pairs(study, baseline)
    table = study.examples
    kinds = kinds_of(table)
    if not beside or not kinds or len(set(study.clusters)) < 2:
        return None
    cells, headline = differences(study, baseline)
    open_ended = {name for name, first in beside.items() if not_converged(study, (first, name))}

    def judged(found: dict[Any, Contrast], name_of: Callable[[Any], str]) -> dict[Any, Finding]:
        return judge(found, delta=delta, at_budget={key for key in found if name_of(key) in open_ended})

    return Verdict(
        baseline,
        delta,
        judged(cells, lambda key: key[0]),
        judged(headline, str),
        {kind: int(chosen.sum()) for kind, chosen in kinds.items()},
        declared,
    )


def differences(study: Study, baseline: str) -> tuple[dict[tuple[str, str], Contrast], dict[str, Contrast]]:
    """Baseline − comparator by (comparator, kind of question), and beyond the control by comparator."""
    table = study.examples
    chosen = {kind: [(1.0, mask)] for kind, mask in kinds_of(table).items()}
    if beyond := _beyond(table):
        chosen[HEADLINE] = beyond
    found = contrasts(study, baseline, chosen)
    return (
        {key: value for key, value in found.items() if key[1] != HEADLINE},
        {name: value for (name, kind), value in found.items() if kind == HEADLINE},
    )


def contrasts(
    study: Study,
    baseline: str,
    chosen: Mapping[str, Sequence[tuple[float, np.ndarray]]],
) -> dict[tuple[str, str], Contrast]:
    """Baseline − each other bridge that sees images, by (comparator, key of `chosen`).

    Args:
        chosen: weighted cells of its examples, as `contrast.part` takes them.
    """

    def parts_of(name: str) -> dict[str, Part]:
        runs = study.of(name)
        scores = np.stack([run.scores["image"] for run in runs])
        seeds = [run.data_seed for run in runs]
        return {key: part(scores, study.clusters, cells, seeds) for key, cells in chosen.items()}

    beside = pairs(study, baseline)
    firsts = {name: parts_of(name) for name in dict.fromkeys(beside.values())}
    found: dict[tuple[str, str], Contrast] = {}
    for name, first in beside.items():
        own = parts_of(name)  # of one comparator at a time: with many runs they are large
        found |= {(name, key): contrast(firsts[first][key], own[key]) for key in chosen}
    return found


def pairs(study: Study, baseline: str) -> dict[str, str]:
    """Each row that is compared, with the baseline's row at its levels of what else is swept."""
    others = [name for name in seeing(study) if study.of(name)[0].bridge != baseline]
    found = {name: study.counterpart(name, baseline) for name in others}
    return {name: first for name, first in found.items() if first and study.of(first)[0].sees == "image"}


def seeing(study: Study) -> list[str]:
    """The bridges that are compared: those that see images."""
    return [name for name in study.bridges if study.of(name)[0].sees == "image"]


def kinds_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which examples are of each reasoning type, as booleans; one kind, `all`, where there are no types."""
    asked = (table["kind"] != "caption").to_numpy()
    if not asked.any():
        return {}
    if "tag_type" not in table:
        return {"all": asked}
    types = np.array(["" if pd.isna(tag) else reasoning_type(tag) for tag in table["tag_type"]], dtype=object)
    names = in_order(types[asked])
    return {name: asked & (types == name) for name in names} if len(names) > 1 else {"all": asked}


def _beyond(table: pd.DataFrame) -> list[tuple[float, np.ndarray]] | None:
    """Questions that take reasoning, less the control; None where there is no control."""
    captions = (table["kind"] == "caption").to_numpy()
    plain = np.zeros(len(table), dtype=bool)
    if {"tag_type", "tag_hops"} <= set(table):
        plain = (
            table["tag_type"].astype(str).str.startswith("query").to_numpy()
            & (table["tag_hops"] == 0).to_numpy()
        )
    controls = [mask for mask in (captions, plain) if mask.any()]
    reasoning = ~captions & ~plain
    if not controls or not reasoning.any():
        return None
    return [(1.0, reasoning), *((-1 / len(controls), mask) for mask in controls)]
