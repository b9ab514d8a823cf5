"""How often the verdict is wrong: simulated studies of known truth (`simulation`) are judged as recorded ones are.

Rates are printed by `make calibrate` for the method in use (`contrast`) and for three alternatives. In the scenarios called
`UNCONTROLLED`, no test over so few seeds keeps its error rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bridgelab.statistics.calibration.simulation import (
    CELLS,
    SCENARIOS,
    SEEDS,
    STUDIES,
    UNCONTROLLED,
    Scenario,
    join_cells,
    simulate_in_batches,
    simulated_contrasts,
    simulated_contributions,
)
from bridgelab.statistics.contrast import Contrast, sum_contributions
from bridgelab.statistics.outcome import (
    BREAKS,
    DELTA,
    HOLDS,
    LEADS,
    decide_outcomes,
    outlying_runs,
    p_values,
)


@dataclass(frozen=True)
class OverSeeds(Contrast):
    """Welch's t test over the runs' means, which takes the images as fixed."""

    @property
    def variance(self) -> np.ndarray:
        return self.seed_variance.sum(axis=-1)

    @property
    def degrees_of_freedom(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # 0 / 0 if all runs are alike
            seeds_term = (self.seed_variance**2 / (np.array(self.num_runs) - 1.0)).sum(axis=-1)
            return self.variance**2 / seeds_term


@dataclass(frozen=True)
class Added(Contrast):
    """Variances over seeds and over images added without subtracting their intersection."""

    @property
    def seed_only_variance(self) -> np.ndarray:
        return self.seed_variance


def paired_by_seed(shares: np.ndarray) -> Contrast:
    """Return the differences with the variance over seeds of their pairs, $S - 1$ degrees of freedom; shapes as `simulated_contrasts`."""
    first, *others = simulated_contributions(shares)
    return join_cells([sum_contributions([first + other * -1]) for other in others])


IN_USE = "in use"
METHODS: MappingProxyType[str, Callable[[np.ndarray], Contrast]] = MappingProxyType(
    {
        IN_USE: simulated_contrasts,
        "t over seeds": lambda shares: OverSeeds(**vars(simulated_contrasts(shares))),
        "added whole": lambda shares: Added(**vars(simulated_contrasts(shares))),
        "paired by seed": paired_by_seed,
    }
)


@dataclass(frozen=True)
class Case:
    """One row of the table of error rates.

    Args:
        scenario: the distribution that studies are drawn from.
        seeds: of each bridge.
        difference: the true difference, in all cells.
    """

    scenario: Scenario
    seeds: int
    difference: float


@dataclass(frozen=True)
class Rates:
    """How often one method is right or wrong on simulated studies.

    Args:
        differs: share of studies in which some cell breaks or leads.
        holds: share of cells that hold.
        covers: share of cells whose 95 % interval contains the truth.
        half_width: mean half width of these intervals, in units of accuracy.
        outlying: share of studies with an outlying run.
    """

    differs: float
    holds: float
    covers: float
    half_width: float
    outlying: float


def cases() -> list[Case]:
    """Return every case: each scenario with 3, 5 and 10 seeds, and true differences 0, −δ and, unless symmetric, δ."""
    return [
        Case(scenario, seeds, difference)
        for scenario in (*SCENARIOS, *UNCONTROLLED)
        for seeds in SEEDS
        for difference in (0.0, -DELTA, DELTA)[: 2 + (not scenario.is_symmetric)]
    ]


def error_rates(case: Case, *, studies: int = STUDIES) -> dict[str, Rates]:
    """Return the rates of each of `METHODS` on simulated studies.

    At a true difference of 0 or ±δ every *breaks* and *leads* is an error, and at ±δ every *holds* is. `differs` should be at most
    5 % (family-wise), `holds` at ±δ at most 5 %, and `covers` at least 95 %.

    Args:
        case: scenario, seeds and true difference.
        studies: number of studies.
    """
    scenario, difference = case.scenario, case.difference
    rng = np.random.default_rng([0, case.seeds, round(1000 * (difference + 1)), scenario.images])
    batches: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in METHODS}
    for shares in simulate_in_batches(
        scenario, rng, studies=studies, seeds=case.seeds, difference=difference
    ):
        questions = CELLS * scenario.images * scenario.questions
        outlying = np.asarray(outlying_runs(shares.mean(axis=(1, 4)), questions).any(axis=(1, 2)))
        for name, method in METHODS.items():
            by_method = method(shares)
            outcomes, _ = decide_outcomes(*p_values(by_method, DELTA))
            low, high = by_method.interval()
            batches[name].append(
                (
                    np.asarray(np.isin(outcomes, (BREAKS, LEADS)).any(axis=-1)),
                    outcomes == HOLDS,
                    np.asarray((low <= difference) & (difference <= high)),
                    (high - low) / 2,
                    outlying,
                )
            )
    return {
        name: Rates(*(float(np.concatenate(column).mean()) for column in zip(*rows, strict=True)))
        for name, rows in batches.items()
    }
