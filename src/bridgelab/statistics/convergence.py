"""Whether a bridge has converged: what the last doubling of its steps brought.

A run records validation accuracy at several budgets (`train.budgets`), each with a learning rate that falls to zero at its end. A
bridge has converged where the gain from half of the steps to all of them is below δ, by a one-sided 95 % bound of Student's t over its
seeds, each paired with itself. A bridge for which that is not shown keeps its outcomes, marked "at this budget": more training may
change them. What a run gained within one budget says nothing, since every curve is flat where its schedule ends.
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
        steps: of each budget that every seed has, ascending [budget].
        accuracy: of each seed at these budgets [seed, budget].
        delta: the gain from which on more training matters.
    """

    steps: tuple[int, ...]
    accuracy: np.ndarray
    delta: float

    @cached_property
    def half(self) -> int | None:
        """The place of the largest budget of half of the steps, or less; None where there is none."""
        places = [place for place, steps in enumerate(self.steps) if 2 * steps <= self.steps[-1] + 1]
        return places[-1] if places else None

    @property
    def gains(self) -> np.ndarray:
        """From half of the steps to all of them, of each seed; empty where that is not known [seed]."""
        if self.half is None:
            return np.zeros(0)
        return self.accuracy[:, -1] - self.accuracy[:, self.half]

    @property
    def gain(self) -> float:
        """The mean over seeds; nan where it is not known."""
        return float(self.gains.mean()) if len(self.gains) else math.nan

    @property
    def bound(self) -> float:
        """The upper end of the gain's one-sided interval at 95 %; nan of fewer than two seeds."""
        number = len(self.gains)
        if number < 2:
            return math.nan
        error = float(self.gains.std(ddof=1)) / math.sqrt(number)
        return self.gain + float(stats.t.ppf(LEVEL, number - 1)) * error

    @property
    def reached(self) -> bool:
        """Whether it is shown that the bridge has converged."""
        return self.bound < self.delta  # which nan is not


def convergence_of(study: Study, name: str) -> Convergence | None:
    """What a row's records tell; None where nothing is trained.

    Raises:
        ValueError: if the records declare different δ.
    """
    runs = study.of(name)
    return converging([run.record for run in runs], declaration(study).delta) if runs[0].trains else None


def converging(records: Sequence[Mapping[str, Any]], delta: float) -> Convergence:
    """Of the records of one bridge, a seed each."""
    found = [
        {int(one["steps"]): float(one["value"]) for one in record.get("budgets") or ()} for record in records
    ]
    steps = sorted(set.intersection(*map(set, found)))
    accuracy = np.array([[one[step] for step in steps] for one in found], dtype=float)
    return Convergence(tuple(steps), accuracy.reshape(len(found), len(steps)), delta)


def not_converged(study: Study, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some rows that are not shown to have converged."""
    found = {name: convergence_of(study, name) for name in dict.fromkeys(names)}
    return tuple(name for name, one in found.items() if one and not one.reached)
