"""The verdict of a study: the baseline against every other bridge, over each kind of question, and the headline.

The headline separates reasoning from seeing. It is the difference over questions that take reasoning, less the difference over the
control, which takes seeing alone: captions, if they are scored by the attributes that are right, and, if questions have programs,
questions that ask for an attribute of one object without any hop. A bridge that sees less well is worse on both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgelab.runs.run import averages_seeds
from bridgelab.runs.study import Study
from bridgelab.statistics.contrast import Contrast, Contribution, contrast, contribution
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.outcome import Finding, judge
from bridgelab.statistics.question_kinds import kind_masks, reasoning_type

HEADLINE = "reasoning_beyond_seeing"
ATTRIBUTES = "test/caption_attributes"  # recorded where captions are scored by the attributes in them


@dataclass(frozen=True)
class Verdict:
    """The verdict of a study.

    Args:
        baseline: the bridge whose verdict it is.
        delta: the least difference that matters, as a share: 0.02 is 2 points.
        cells: by (comparator, kind of question), the difference baseline − comparator, as a share.
        headline: by comparator; empty if there is no control.
        controls: what the headline subtracts.
        questions: number of questions of each kind.
        declared: whether the records declare baseline and δ; False if they are the defaults of this version.
    """

    baseline: str
    delta: float
    cells: dict[tuple[str, str], Finding]
    headline: dict[str, Finding]
    controls: tuple[str, ...]
    questions: dict[str, int]
    declared: bool

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(comparator for comparator, _ in self.cells))

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for _, kind in self.cells))


def verdict(study: Study) -> Verdict | None:
    """Judge a study's baseline against every other bridge that sees images.

    Tests, corrections and assumptions are those of `statistics.outcome`; variances those of `statistics.contrast`. The cells are one
    family, the headline's comparators another.

    Args:
        study: as `read_study` returns it.
    Returns:
        None if there is no comparator, no question, or only one image.
    Raises:
        ValueError: if runs declare different baselines or δ.
    """
    baseline, delta, declared = declaration(study)
    baseline_rows = rows_to_compare(study, baseline)
    kinds = kind_masks(study.examples)
    if not baseline_rows or not kinds or len(set(study.clusters)) < 2:
        return None
    cells, headline = cell_contrasts(study, baseline)
    masks = kinds | {HEADLINE: np.logical_or.reduce([*kinds.values()])}
    averaged = {name for name, row in baseline_rows.items() if averages_seeds_of(study, (row, name))}
    unconverged = {name for name, row in baseline_rows.items() if not_converged(study, (row, name))}

    def size(mask: np.ndarray) -> tuple[int, int]:
        return int(mask.sum()), len(set(study.clusters[mask]))

    def judge_family(
        contrasts: dict[Any, Contrast], comparator: Callable[[Any], str], kind: Callable[[Any], str]
    ) -> dict[Any, Finding]:
        at_budget = {key for key in contrasts if comparator(key) in unconverged}
        sizes = {key: size(masks[kind(key)]) for key in contrasts}
        of_orders = {key for key in contrasts if comparator(key) in averaged}
        return judge(contrasts, delta=delta, at_budget=at_budget, sizes=sizes, averaged=of_orders)

    return Verdict(
        baseline,
        delta,
        judge_family(cells, lambda key: key[0], lambda key: key[1]),
        judge_family(headline, str, lambda _: HEADLINE),
        tuple(_controls(study)),
        {kind: int(mask.sum()) for kind, mask in kinds.items()},
        declared,
    )


def cell_contrasts(
    study: Study, baseline: str
) -> tuple[dict[tuple[str, str], Contrast], dict[str, Contrast]]:
    """Return the differences baseline − comparator by (comparator, kind of question), and the headline's by comparator."""
    cells = {kind: [(1.0, mask)] for kind, mask in kind_masks(study.examples).items()}
    if headline := _headline_cells(study):
        cells[HEADLINE] = headline
    contrasts = contrasts_to_baseline(study, baseline, cells)
    return (
        {key: value for key, value in contrasts.items() if key[1] != HEADLINE},
        {name: value for (name, kind), value in contrasts.items() if kind == HEADLINE},
    )


def contrasts_to_baseline(
    study: Study, baseline: str, cells: Mapping[str, Sequence[tuple[float, np.ndarray]]]
) -> dict[tuple[str, str], Contrast]:
    """Return the difference baseline − comparator for each other bridge that sees images.

    Args:
        study: as `read_study` returns it.
        baseline: the bridge that the others are subtracted from.
        cells: weighted cells of the study's examples by name, as `contrast.contribution` takes them.
    Returns:
        By (comparator, name of the cells).
    """

    def contributions(row: str) -> dict[str, Contribution]:
        runs = study.of(row)
        scores = np.stack([run.scores["image"] for run in runs])
        seeds = [run.data_seed for run in runs]
        return {key: contribution(scores, study.clusters, weighted, seeds) for key, weighted in cells.items()}

    baseline_rows = rows_to_compare(study, baseline)
    of_baseline = {row: contributions(row) for row in dict.fromkeys(baseline_rows.values())}
    contrasts: dict[tuple[str, str], Contrast] = {}
    for name, row in baseline_rows.items():
        own = contributions(name)  # one comparator at a time: with many runs they are large
        contrasts |= {(name, key): contrast(of_baseline[row][key], own[key]) for key in cells}
    return contrasts


def rows_to_compare(study: Study, baseline: str) -> dict[str, str]:
    """Return {comparator's row: baseline's row at the same levels of whatever else the study sweeps}."""
    others = [name for name in image_rows(study) if study.of(name)[0].bridge != baseline]
    rows = {name: study.counterpart(name, baseline) for name in others}
    return {name: row for name, row in rows.items() if row and study.of(row)[0].sees == "image"}


def averages_seeds_of(study: Study, rows: Sequence[str]) -> bool:
    """Return whether a comparison of these rows averages runs of one order of examples over seeds."""
    return any(averages_seeds(study.of(row)) for row in rows)


def image_rows(study: Study) -> list[str]:
    """Return the rows whose bridge sees images; only these are compared."""
    return [name for name in study.bridges if study.of(name)[0].sees == "image"]


def _headline_cells(study: Study) -> list[tuple[float, np.ndarray]] | None:
    """Return the questions that take reasoning (weight 1) and the controls (weights that sum to −1); None without a control."""
    controls = _controls(study)
    seeing = np.logical_or.reduce([*controls.values(), (study.examples["kind"] == "caption").to_numpy()])
    if not controls or seeing.all():
        return None
    return [(1.0, ~seeing), *((-1 / len(controls), mask) for mask in controls.values())]


def _controls(study: Study) -> dict[str, np.ndarray]:
    """Return the examples that take seeing alone, by what they are [example].

    Captions are a control if their scores are shares of attributes right. Captions that must equal a reference word for word are not:
    no bridge gets one right, so nothing would be subtracted.
    """
    examples = study.examples
    controls = {}
    if all(ATTRIBUTES in run.record["metrics"] for run in study.runs):
        controls["captions"] = (examples["kind"] == "caption").to_numpy()
    if {"tag_type", "tag_hops"} <= set(examples):
        query, without_hop = examples["tag_type"].map(reasoning_type) == "query", examples["tag_hops"] == 0
        controls["attributes that take no hop"] = (query & without_hop).to_numpy()
    return {name: mask for name, mask in controls.items() if mask.any()}
