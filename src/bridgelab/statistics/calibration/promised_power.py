"""Check that `bridgelab plan` delivers 80 % power.

One cell of each simulated study has the smallest difference that the plan calls detectable, and the better bridge has the scenario's
accuracy. All other cells have no difference, which is the hardest case for Holm's correction. The plan's variances are means over many
pilots of three seeds, so that the test is not of one pilot's luck. They are carried to other numbers of seeds as a plan does.

A real plan has one pilot. So two more numbers are of single pilots: the 10 % and 90 % quantiles of the true power at the differences
that they name, and the share whose printed range holds the true one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridgelab.statistics.calibration.simulation import (
    CELLS,
    SCENARIOS,
    STUDIES,
    Scenario,
    simulate_contrasts,
)
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.outcome import BREAKS, DELTA, MIN_SEEDS, decide_outcomes, p_values
from bridgelab.statistics.power.smallest_difference import (
    FEWER_DRAWS,
    power,
    smallest_difference,
    smallest_difference_range,
)
from bridgelab.statistics.power.variances import at_size

PILOTS = 1000  # studies whose variances are averaged
SINGLE_PILOTS = 60  # pilots looked at one by one
ROUNDS = (
    3  # of solving for the difference: variances change with accuracy, so each round takes the last one's
)
# The first eight: with few images, or if seeds collapse, no difference is found.
PLANNED = SCENARIOS[:8]


@dataclass(frozen=True)
class PromisedPower:
    """What a plan promises for a number of seeds, and what comes of it.

    Args:
        smallest: the difference that should be found with 80 % power, in units of accuracy.
        detected: share of simulated studies that found it.
        studies: number of simulated studies.
        single: true power of the 10 % and 90 % quantile of single pilots, at the difference that they name.
        in_range: share of single pilots whose printed range contains `smallest`.
    """

    smallest: float
    detected: float
    studies: int
    single: tuple[float, float] = (np.nan, np.nan)
    in_range: float = np.nan

    @property
    def error(self) -> float:
        """Standard error of `detected`, from the number of studies."""
        return float(np.sqrt(self.detected * (1 - self.detected) / self.studies))


def typical_contrast(
    scenario: Scenario, rng: np.random.Generator, *, difference: float = 0.0, studies: int = PILOTS
) -> Contrast:
    """Return a cell of three-seed studies with the mean variances over cells and studies."""
    batches = list(simulate_contrasts(scenario, rng, studies=studies, seeds=MIN_SEEDS, difference=difference))

    def mean(component: str, axes: tuple[int, ...]) -> np.ndarray:
        return np.asarray(np.concatenate([getattr(batch, component) for batch in batches]).mean(axis=axes))

    return Contrast(
        np.array(0.0),
        mean("seed_variance", (0, 1)),
        mean("intersection_variance", (0, 1)),
        mean("image_variance", (0, 1)),
        batches[0].num_runs,
        batches[0].num_images,
    )


def promised_power(
    scenario: Scenario,
    *,
    seeds: int,
    studies: int = STUDIES,
    single_pilots: int = SINGLE_PILOTS,
) -> PromisedPower:
    """Return the smallest difference that a plan promises with 80 % power, and how often simulated studies find it.

    Args:
        scenario: the distribution that studies are drawn from.
        seeds: of each bridge.
        studies: number of studies.
        single_pilots: number of pilots looked at one by one.
    """
    rng = np.random.default_rng([0, seeds, scenario.images])
    smallest = 0.0
    for _ in range(ROUNDS):
        pilot = typical_contrast(_with_better_bridge(scenario, smallest), rng, difference=-smallest)
        truth = at_size(pilot, seeds, 1)
        smallest = float(smallest_difference(truth, DELTA, CELLS))
    actual = _with_better_bridge(scenario, smallest)
    difference = np.zeros(CELLS)
    difference[0] = -smallest
    detected = [
        decide_outcomes(*p_values(batch, DELTA))[0][:, 0] == BREAKS
        for batch in simulate_contrasts(actual, rng, studies=studies, seeds=seeds, difference=difference)
    ]
    pilots = [
        first_cell(batch, study)
        for batch in simulate_contrasts(
            actual, rng, studies=single_pilots, seeds=MIN_SEEDS, difference=-smallest
        )
        for study in range(len(batch.value))
    ]
    single, in_range = _single_pilots(pilots, truth, smallest, seeds)
    return PromisedPower(smallest, float(np.concatenate(detected).mean()), studies, single, in_range)


def _single_pilots(
    pilots: Sequence[Contrast], truth: Contrast, smallest: float, seeds: int
) -> tuple[tuple[float, float], float]:
    """Return the fields `single` and `in_range` of `PromisedPower`.

    Args:
        pilots: cells of three-seed studies.
        truth: the true variances at the planned number of seeds.
        smallest: the difference that these find with 80 % power.
        seeds: the planned number.
    """
    named = [
        float(smallest_difference(at_size(pilot, seeds, 1), DELTA, CELLS, draws=FEWER_DRAWS))
        for pilot in pilots
    ]
    ranges = [smallest_difference_range(pilot, DELTA, CELLS, seeds=seeds) for pilot in pilots]
    low, high = np.quantile([power(truth, one, DELTA, CELLS) for one in named], [0.1, 0.9])
    in_range = np.mean([low <= smallest <= high for low, high in ranges])
    return (float(low), float(high)), float(in_range)


def first_cell(batch: Contrast, study: int) -> Contrast:
    """Return the first cell of one study of a batch [study, cell]."""
    return Contrast(
        batch.value[study, 0],
        batch.seed_variance[study, 0],
        batch.intersection_variance[study, 0],
        batch.image_variance[study, 0],
        batch.num_runs,
        batch.num_images,
    )


def _with_better_bridge(scenario: Scenario, difference: float) -> Scenario:
    """Return the scenario with the mean at which the better of two bridges has its accuracy."""
    return replace(scenario, mean=scenario.mean - difference / 2)
