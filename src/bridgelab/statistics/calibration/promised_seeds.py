"""Whether the advice of the verdict is good: how often the advised number of seeds settles a cell that could not be told.

Studies of three seeds are simulated. For each first cell that cannot be told and is advised a number of seeds, a second study with so
many seeds is simulated. The advice takes the pilot for the truth, so the share settled may lie below the nominal 80 %.
"""

from dataclasses import dataclass

import numpy as np

from bridgelab.statistics.calibration.promised_power import first_cell
from bridgelab.statistics.calibration.simulation import CELLS, SCENARIOS, Scenario, simulate_contrasts
from bridgelab.statistics.multiple_testing import ALPHA
from bridgelab.statistics.outcome import CANNOT_TELL, DELTA, MIN_SEEDS, decide_outcomes, p_values
from bridgelab.statistics.power.sample_size import required_sample_size

# (scenario, true difference)
ADVISED = (
    (SCENARIOS[1], -0.05),
    (SCENARIOS[1], -0.08),
    (SCENARIOS[2], -0.12),
    (SCENARIOS[4], 0.0),
    (SCENARIOS[4], -0.05),
)


@dataclass(frozen=True)
class PromisedSeeds:
    """What comes of the advice to run more seeds.

    Args:
        cells: number of cells that were advised a number of seeds.
        settled: share of them that so many seeds settled; nan if there is none.
    """

    cells: int
    settled: float

    @property
    def error(self) -> float:
        """Standard error of `settled`, from the number of cells."""
        return float(np.sqrt(self.settled * (1 - self.settled) / max(1, self.cells)))


def promised_seeds(scenario: Scenario, *, difference: float, studies: int = 200) -> PromisedSeeds:
    """Return how often the advised number of seeds settles a cell, at Bonferroni's level.

    Args:
        scenario: the distribution that studies are drawn from.
        difference: the true difference, in all cells.
        studies: number of pilots.
    """
    rng = np.random.default_rng([0, scenario.images, round(1000 * (difference + 1))])
    advised: list[int] = []
    for batch in simulate_contrasts(scenario, rng, studies=studies, seeds=MIN_SEEDS, difference=difference):
        outcomes = decide_outcomes(*p_values(batch, DELTA))[0][:, 0]
        for study in np.flatnonzero(outcomes == CANNOT_TELL):
            size = required_sample_size(first_cell(batch, int(study)), DELTA, CELLS)
            if size and size.seeds and not size.image_factor:
                advised.append(size.seeds)
    settled = []
    for seeds in sorted(set(advised)):
        number = advised.count(seeds)
        for batch in simulate_contrasts(scenario, rng, studies=number, seeds=seeds, difference=difference):
            below, above, inside = (p[:, 0] for p in p_values(batch, DELTA))
            settled.append((2 * np.minimum(below, above) * CELLS < ALPHA) | (inside < ALPHA))
    share = float(np.concatenate(settled).mean()) if settled else float("nan")
    return PromisedSeeds(len(advised), share)
