"""What makes the runs of one bridge differ: init, order of examples, search for the learning rate."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bridgelab.report.row import label
from bridgelab.report.table import NONE, Cell, Quantity, Table, format_interval, format_number
from bridgelab.runs.comparability import configured
from bridgelab.runs.predictions import IMAGE_VIEW
from bridgelab.runs.run import Run
from bridgelab.runs.study import Study
from bridgelab.statistics.estimate import LEVEL
from bridgelab.statistics.variance_components import RESIDUAL, Component, variance_components

SEARCH_SEED = "tune.seed"
TITLES = {
    "seed": "init",
    "data_seed": "order of examples",
    SEARCH_SEED: "search for the rate",
    RESIDUAL: "interaction",
}

Seeds = tuple[int, int, int]  # seed, data seed, search seed


def seed_variance_table(study: Study) -> Table | None:
    """Return the standard deviation that each kind of seed causes, a row per bridge and per difference of two bridges.

    The share of the variance between runs stands below each deviation. A difference pairs runs of the same seeds, so what both
    bridges owe to a seed cancels. Return None unless the study crosses two kinds of seeds or more: where they vary together, as by
    default, their shares cannot be told apart.
    """
    accuracies = {name: _accuracies(study, runs) for name, runs in _rows(study).items()}
    names = list(accuracies)
    values = {label(name): accuracies[name] for name in names}
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = accuracies[first].keys() & accuracies[second].keys()
            values[f"{label(first)} − {label(second)}"] = {
                seeds: accuracies[first][seeds] - accuracies[second][seeds] for seeds in sorted(shared)
            }
    components = {name: found for name, one in values.items() if (found := _components(one))}
    kinds = [kind for kind in TITLES if any(kind in found for found in components.values())]
    rows = []
    for name, found in components.items():
        total = sum(component.variance for component in found.values())
        cells = (_cell(found.get(kind), total) for kind in kinds)
        count = len(values[name])
        rows.append(("variance", (Cell(name), *cells, Cell(str(count), number=Quantity(float(count))))))
    title = "What makes runs differ: standard deviation of test accuracy, points; below it, its 95 % interval and its share of the variance"
    return Table(title, ("bridge", *(TITLES[kind] for kind in kinds), "runs"), tuple(rows)) if rows else None


def _rows(study: Study) -> dict[str, list[Run]]:
    """Return the trained runs of each row of the study, whichever search chose their rate."""
    rows: dict[str, list[Run]] = {}
    for run in study.runs:
        if run.trains:
            levels = [
                f"{name}={level}" for name, level in run.levels.items() if level and name != SEARCH_SEED
            ]
            rows.setdefault(", ".join([run.bridge, *levels]), []).append(run)
    return rows


def _accuracies(study: Study, runs: Sequence[Run]) -> dict[Seeds, float]:
    """Return each run's accuracy over all questions, by its seeds; nothing where captions alone are asked for."""
    questions = study.questions.index
    if not len(questions):
        return {}
    return {
        (run.seed, run.data_seed, int(configured(run.path).get(SEARCH_SEED) or 0)): float(
            np.mean(run.scores[IMAGE_VIEW][questions])
        )
        for run in runs
    }


def _components(accuracies: Mapping[Seeds, float]) -> dict[str, Component] | None:
    """Return the component of each kind of seed that varies and of the rest; None where the runs cannot tell them apart."""
    levels = dict(zip(TITLES, zip(*accuracies, strict=True), strict=False)) if accuracies else {}
    factors = {kind: list(seeds) for kind, seeds in levels.items() if len(set(seeds)) > 1}
    if len(factors) < 2:
        return None
    try:
        return variance_components(list(accuracies.values()), factors)
    except ValueError:
        return None


def _cell(component: Component | None, total: float) -> Cell:
    if component is None:
        return Cell(NONE)
    value, low, high = (
        100 * math.sqrt(bound) for bound in (component.variance, component.low, component.high)
    )
    share = 100 * component.variance / total if total else 0.0
    return Cell(
        format_number(value, 2),
        f"{format_interval(low, high, 2)}; {share:.0f} %",
        Quantity(value, low, high, LEVEL, "points"),
    )
