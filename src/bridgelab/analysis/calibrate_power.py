"""Whether `bridgelab plan` keeps its promise: studies are simulated in which one cell differs by what it says is just found.

The spread is that of studies with three seeds that differ so, on the mean of many, so that what is tested is the promise and not
one study's luck; it is carried to other numbers of seeds as a plan does. All other cells of the study have no difference, so that
Holm's correction gives the one nothing: the hardest case, and the one that is promised. The better bridge has the world's accuracy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from bridgelab.analysis.contrast import Contrast
from bridgelab.analysis.power import POWER, smallest
from bridgelab.analysis.simulation import CELLS, STUDIES, World, drawn
from bridgelab.analysis.verdict import BREAKS, DELTA, LEAST_SEEDS, outcome, p_values, planned

PILOTS = 2000
ROUNDS = 3  # of finding the difference whose own spread promises it: spread changes with accuracy
POWER_HEADS = ("studies of", "seeds", "promised to be found, points", "found, %", "± simulation, points")


@dataclass(frozen=True)
class Promise:
    """What is promised of a number of seeds, and kept.

    Args:
        smallest: the difference that is to be found.
        found: the share of simulated studies in which it was.
        studies: how many.
    """

    smallest: float
    found: float
    studies: int

    @property
    def error(self) -> float:
        """The standard error of the share found."""
        return float(np.sqrt(self.found * (1 - self.found) / self.studies))


def typical(
    world: World, rng: np.random.Generator, *, difference: float = 0.0, studies: int = PILOTS
) -> Contrast:
    """A cell of three-seed studies, its variances the mean over cells and studies."""
    found = list(drawn(world, rng, studies=studies, seeds=LEAST_SEEDS, difference=difference))
    seeds, both = (np.concatenate([getattr(one, name) for one in found]) for name in ("seeds", "both"))
    images = np.concatenate([one.images for one in found])
    return Contrast(
        np.array(0.0),
        seeds.mean(axis=(0, 1)),
        both.mean(axis=(0, 1)),
        images.mean(),
        found[0].runs,
        found[0].number,
    )


def promise(world: World, *, seeds: int, studies: int = STUDIES, draw: int = 0) -> Promise:
    """The smallest difference that a plan promises with 80 % power, and how often simulated studies find it.

    Args:
        world: what they are drawn from.
        seeds: of each bridge.
        studies: how many.
        draw: seed of the simulation.
    """
    rng = np.random.default_rng([draw, seeds, world.images])
    least = 0.0
    for _ in range(ROUNDS):
        pilot = typical(_below(world, least), rng, difference=-least)
        least = smallest(planned(pilot, seeds, 1), DELTA, CELLS)
    difference = np.zeros(CELLS)
    difference[0] = -least
    found = [
        outcome(*p_values(one, DELTA))[0][:, 0] == BREAKS
        for one in drawn(_below(world, least), rng, studies=studies, seeds=seeds, difference=difference)
    ]
    return Promise(least, float(np.concatenate(found).mean()), studies)


def _below(world: World, difference: float) -> World:
    """The world with two bridges of this difference, the better one at its accuracy."""
    return replace(world, mean=world.mean - difference / 2)


def power_table(studies: int) -> Table:
    """An empty table under `POWER_HEADS`."""
    table = Table(
        title=f"what a plan promises to find in {100 * POWER:g} % of studies: {studies:,} studies of {CELLS} cells a row, one of "
        f"which differs, δ = {100 * DELTA:g} points"
    )
    for index, head in enumerate(POWER_HEADS):
        table.add_column(head, justify="right" if index else "left")
    return table


def power_row(world: World, seeds: int, found: Promise) -> Iterator[str]:
    """Cells under `POWER_HEADS`."""
    yield world.name
    yield str(seeds)
    yield f"{100 * found.smallest:.1f}"
    yield f"{100 * found.found:.1f}"
    yield f"{100 * found.error:.1f}"
