"""Convergence: the gain of the last doubling of training steps is below δ.

A run records validation accuracy at several budgets (`train.budgets`), each with a learning rate that falls to zero at its end. A
bridge has converged if the gain from half of the steps to all of them is below δ, by a one-sided 95 % bound of Student's t over
seeds, each paired with itself. It assumes that gains are about normal over seeds. A bridge for which that is not shown keeps its
outcomes, marked "at this budget", since more training may change them. The curve within one budget says nothing: it is flat
wherever its schedule ends.

Runs that start from warm starts are short, so their own last doubling gains little even where much is left to learn. Such a bridge
has converged only if the run that made its warm start is also shown to have converged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from bridgelab.runs.study import Study
from bridgelab.statistics.declaration import declaration

LEVEL = 0.95


@dataclass(frozen=True)
class Convergence:
    """Validation accuracy of one bridge at its budgets.

    Args:
        steps: steps of each budget that every seed has, ascending [budget].
        accuracy: validation accuracy [seed, budget].
        delta: the least gain that matters.
        start: of the runs that made its warm starts; None if it was trained from scratch.
    """

    steps: tuple[int, ...]
    accuracy: np.ndarray
    delta: float
    start: "Convergence | None" = None

    @cached_property
    def half(self) -> int | None:
        """Index of the largest budget of at most half of the steps; None if there is none."""
        places = [place for place, steps in enumerate(self.steps) if 2 * steps <= self.steps[-1] + 1]
        return places[-1] if places else None

    @property
    def gains(self) -> np.ndarray:
        """Gain from half of the steps to all of them [seed]; empty if no budget has half of the steps."""
        if self.half is None:
            return np.zeros(0)
        return self.accuracy[:, -1] - self.accuracy[:, self.half]

    @property
    def gain(self) -> float:
        """Mean gain over seeds; nan if unknown."""
        return float(self.gains.mean()) if len(self.gains) else math.nan

    @property
    def upper_bound(self) -> float:
        """Upper end of the gain's one-sided 95 % interval (Student's t over seeds); nan for fewer than two seeds."""
        number = len(self.gains)
        if number < 2:
            return math.nan
        error = float(self.gains.std(ddof=1)) / math.sqrt(number)
        return self.gain + float(stats.t.ppf(LEVEL, number - 1)) * error

    @property
    def is_shown(self) -> bool:
        """Whether the bridge, and its warm start if it has one, is shown to have converged; False if a bound is nan."""
        return self.upper_bound < self.delta and (self.start is None or self.start.is_shown)


def convergence_of(study: Study, name: str) -> Convergence | None:
    """Return the convergence of one row of a study; None if the row is not trained.

    Raises:
        ValueError: if the records declare different δ.
    """
    runs = study.of(name)
    if not runs[0].trains:
        return None
    return convergence_from_records([run.record for run in runs], declaration(study).delta)


def convergence_from_records(records: Sequence[Mapping[str, Any]], delta: float) -> Convergence:
    """Return the convergence of one bridge from its records, one per seed."""
    start = None
    if any(record.get("init_budgets") for record in records):
        start = _convergence([record.get("init_budgets") or () for record in records], delta, None)
    return _convergence([record.get("budgets") or () for record in records], delta, start)


def _convergence(
    budgets: Sequence[Sequence[Mapping[str, Any]]], delta: float, start: Convergence | None
) -> Convergence:
    by_steps = [{int(one["steps"]): float(one["value"]) for one in of_seed} for of_seed in budgets]
    steps = sorted(set.intersection(*map(set, by_steps)))
    accuracy = np.array([[values[step] for step in steps] for values in by_steps], dtype=float)
    return Convergence(tuple(steps), accuracy.reshape(len(budgets), len(steps)), delta, start)


def not_converged(study: Study, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of some rows that are trained and not shown to have converged."""
    convergences = {name: convergence_of(study, name) for name in dict.fromkeys(names)}
    return tuple(name for name, one in convergences.items() if one and not one.is_shown)
