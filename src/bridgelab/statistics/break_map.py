"""The break map: where the baseline breaks, over the levels of what studies vary and the kinds of questions.

A study that sweeps more than bridges and seeds has a level for each of its values; several studies are levels of one map, each by its
name. All cells of a map are one family (Holm). A cell is empty where a bridge has fewer than three seeds, or another budget than the
centre, which is the baseline in the first study: differences at other budgets compare how long bridges were trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridgelab.runs.finished_run import Run
from bridgelab.runs.study import Study
from bridgelab.statistics.comparison import differences, kinds_of, pairs
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.convergence import not_converged
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.verdict import LEAST_SEEDS, Finding, judge

Place = tuple[str, str]  # comparator, level


@dataclass(frozen=True)
class BreakMap:
    """The cells of one map.

    Args:
        baseline: the bridge that is compared.
        delta: the least difference that matters.
        levels: in the order of the studies, and of each one's sweep.
        kinds: of questions, in the order in which the studies have them.
        cells: by comparator, level and kind; those that are empty are left out.
        empty: by comparator and level: why a row is empty.
    """

    baseline: str
    delta: float
    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: dict[tuple[str, str, str], Finding]
    empty: dict[Place, str]

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([name for name, *_ in self.cells] + [name for name, _ in self.empty]))


def break_map(studies: Sequence[Study]) -> BreakMap:
    """The map of some studies.

    Raises:
        ValueError: if there is no study, they declare different baselines or δ, or none compares two bridges.
    """
    if not studies:
        raise ValueError("a map needs at least 1 study.")
    declared = {study.name: declaration(study)[:2] for study in studies}
    if len(set(declared.values())) > 1:
        told = "; ".join(f"{name}: baseline={one[0]}, delta={one[1]:g}" for name, one in declared.items())
        raise ValueError(
            f"a map has one baseline and one δ, and the studies declare {told}. Make a map of those that agree."
        )
    baseline, delta = declared[studies[0].name]
    found: dict[tuple[str, str, str], Contrast] = {}
    at_budget: set[tuple[str, str, str]] = set()
    empty: dict[Place, str] = {}
    levels: list[str] = []
    kinds: list[str] = []
    centre: int | None = None
    for study in studies:
        beside = pairs(study, baseline)
        cells, _ = differences(study, baseline) if beside else ({}, {})
        kinds += kinds_of(study.examples)
        for name, first in beside.items():
            runs, others = study.of(name), study.of(first)
            centre = _budget(others) if centre is None else centre
            place = (runs[0].bridge, _level(study, name, alone=len(studies) == 1))
            levels.append(place[1])
            if why := _withheld(runs, others, centre):
                empty[place] = why
            own = {(*place, kind): cell for (comparator, kind), cell in cells.items() if comparator == name}
            found |= own
            if not_converged(study, (first, name)):
                at_budget |= set(own)
    if not found:
        raise ValueError(
            f"no study has {baseline} and another bridge that sees images: {', '.join(declared)}. Run both."
        )
    judged = judge(found, delta=delta, at_budget=at_budget)
    return BreakMap(
        baseline,
        delta,
        tuple(dict.fromkeys(levels)),
        tuple(dict.fromkeys(kinds)),
        {key: one for key, one in judged.items() if key[:2] not in empty},
        empty,
    )


def map_of(study: Study) -> BreakMap | None:
    """The map of a study that compares its baseline at several levels of something; None of another."""
    levels = {str(study.of(name)[0].levels) for name in pairs(study, declaration(study).baseline)}
    return break_map([study]) if len(levels) > 1 else None


def _level(study: Study, row: str, *, alone: bool) -> str:
    """A row's place among the levels: what its study varies, behind the study's name where there are several."""
    levels = ", ".join(f"{name}={level}" for name, level in study.of(row)[0].levels.items() if level)
    if not levels:
        return study.name
    return levels if alone else f"{study.name}: {levels}"


def _budget(runs: Sequence[Run]) -> int:
    return int(runs[0].record.get("examples_seen", 0))


def _withheld(runs: Sequence[Run], others: Sequence[Run], centre: int) -> str:
    """Why two rows give an empty cell; empty where they give one."""
    few = min(len(runs), len(others))
    if few < LEAST_SEEDS:
        return f"{few} of at least {LEAST_SEEDS} seeds"
    seen = {_budget([run]) for run in (*runs, *others)} - {centre}
    return f"trained on {max(seen):,} examples, the centre on {centre:,}" if seen else ""
