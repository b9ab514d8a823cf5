"""Whether `bridgelab plan` keeps its promise: studies are simulated in which one cell differs by what it says is just found.

The spread is that of studies with three seeds that differ so, on the mean of many, so that what is tested is the promise and not
one study's luck; it is carried to other numbers of seeds as a plan does. All other cells of the study have no difference, so that
Holm's correction gives the one nothing: the hardest case, and the one that is promised. The better bridge has the world's accuracy.

A plan has one pilot and no mean of many, so beside the promise stands what single pilots of three seeds promise: the power that 10 and 90 %
of them really have at the difference they name, and how many have the true one in the range that they print.

Last, of cells that could not be told and were told how many seeds would settle them: how many a second study with so many seeds settled.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from bridgelab.statistics.calibration.simulation import CELLS, STUDIES, WORLDS, World, drawn
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.power.smallest_difference import FEWER, power, smallest, smallest_range
from bridgelab.statistics.verdict import (
    ALPHA,
    BREAKS,
    CANNOT_TELL,
    DELTA,
    LEAST_SEEDS,
    POWER,
    outcome,
    p_values,
    planned,
    would_settle,
)

PILOTS = 1000
ROUNDS = 3  # of finding the difference whose own spread promises it: spread changes with accuracy
PLANNED = WORLDS[
    :8
]  # where a difference can be planned for: on a few images, or where seeds fail, none is found
SINGLE = 60  # pilots looked at one by one
POWER_COLUMNS = (
    "studies of",
    "seeds",
    "promised to be found, points",
    "found, %",
    "± simulation, points",
    "power by one pilot: 10–90 % of pilots, %",
    "in its range, %",
)
SETTLED = ((WORLDS[1], -0.05), (WORLDS[1], -0.08), (WORLDS[2], -0.12), (WORLDS[4], 0.0), (WORLDS[4], -0.05))
SETTLED_COLUMNS = (
    "studies of",
    "true difference",
    "cells told how many seeds",
    "settled by so many, %",
    "± simulation, points",
)


@dataclass(frozen=True)
class Promise:
    """What is promised of a number of seeds, and kept.

    Args:
        smallest: the difference that is to be found.
        found: the share of simulated studies in which it was.
        studies: how many.
        single: the power of 10 and of 90 % of single pilots at the difference that they name.
        inside: the share of single pilots in whose range the difference lies that has the power promised.
    """

    smallest: float
    found: float
    studies: int
    single: tuple[float, float] = (np.nan, np.nan)
    inside: float = np.nan

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


def promise(
    world: World, *, seeds: int, studies: int = STUDIES, single: int = SINGLE, draw: int = 0
) -> Promise:
    """The smallest difference that a plan promises with 80 % power, and how often simulated studies find it.

    Args:
        world: what they are drawn from.
        seeds: of each bridge.
        studies: how many.
        single: pilots looked at one by one.
        draw: seed of the simulation.
    """
    rng = np.random.default_rng([draw, seeds, world.images])
    least = 0.0
    for _ in range(ROUNDS):
        pilot = typical(_below(world, least), rng, difference=-least)
        least = float(smallest(planned(pilot, seeds, 1), DELTA, CELLS))
    difference = np.zeros(CELLS)
    difference[0] = -least
    found = [
        outcome(*p_values(one, DELTA))[0][:, 0] == BREAKS
        for one in drawn(_below(world, least), rng, studies=studies, seeds=seeds, difference=difference)
    ]
    true = planned(pilot, seeds, 1)
    one_by_one = [
        Contrast(np.array(0.0), one.seeds[k, 0], one.both[k, 0], one.images[k, 0], one.runs, one.number)
        for one in drawn(_below(world, least), rng, studies=single, seeds=LEAST_SEEDS, difference=-least)
        for k in range(len(one.value))
    ]
    named = [float(smallest(planned(one, seeds, 1), DELTA, CELLS, draws=FEWER)) for one in one_by_one]
    ranges = [smallest_range(one, DELTA, CELLS, seeds=seeds) for one in one_by_one]
    low, high = np.quantile([power(true, one, DELTA, CELLS) for one in named], [0.1, 0.9])
    inside = np.mean([low <= least <= high for low, high in ranges])
    return Promise(
        least, float(np.concatenate(found).mean()), studies, (float(low), float(high)), float(inside)
    )


def _below(world: World, difference: float) -> World:
    """The world with two bridges of this difference, the better one at its accuracy."""
    return replace(world, mean=world.mean - difference / 2)


def power_table(studies: int) -> Table:
    """An empty table under `POWER_COLUMNS`."""
    table = Table(
        title=f"what a plan promises to find in {100 * POWER:g} % of studies: {studies:,} studies of {CELLS} cells a row, one of "
        f"which differs, δ = {100 * DELTA:g} points"
    )
    for index, head in enumerate(POWER_COLUMNS):
        table.add_column(head, justify="right" if index else "left")
    return table


def power_row(world: World, seeds: int, found: Promise) -> Iterator[str]:
    """Cells under `POWER_COLUMNS`."""
    yield world.name
    yield str(seeds)
    yield f"{100 * found.smallest:.1f}"
    yield f"{100 * found.found:.1f}"
    yield f"{100 * found.error:.1f}"
    yield "–".join(f"{100 * one:.0f}" for one in found.single)
    yield f"{100 * found.inside:.0f}"


@dataclass(frozen=True)
class Settled:
    """Of cells that could not be told: how many were told a number of seeds, and the share that so many settled."""

    cells: int
    share: float

    @property
    def error(self) -> float:
        """The standard error of the share."""
        return float(np.sqrt(self.share * (1 - self.share) / max(1, self.cells)))


def settled(world: World, *, difference: float, studies: int = 200, draw: int = 0) -> Settled:
    """Run studies of three seeds, and of those with a first cell that can't be told a second one with the seeds that would settle it.

    Args:
        world: what they are drawn from.
        difference: the truth.
        studies: how many.
        draw: seed of the simulation.
    """
    rng = np.random.default_rng([draw, world.images, round(1000 * (difference + 1))])
    asked: list[int] = []
    for found in drawn(world, rng, studies=studies, seeds=LEAST_SEEDS, difference=difference):
        said = outcome(*p_values(found, DELTA))[0][:, 0]
        for k in np.flatnonzero(said == CANNOT_TELL):
            one = Contrast(
                found.value[k, 0],
                found.seeds[k, 0],
                found.both[k, 0],
                found.images[k, 0],
                found.runs,
                found.number,
            )
            number, _, rest = would_settle(one, DELTA, CELLS).partition(" ")
            if rest == "seeds would settle it":
                asked.append(int(number))
    hits = []
    for seeds in sorted(set(asked)):
        for found in drawn(world, rng, studies=asked.count(seeds), seeds=seeds, difference=difference):
            below, above, inside = (p[:, 0] for p in p_values(found, DELTA))
            hits.append((2 * np.minimum(below, above) * CELLS < ALPHA) | (inside < ALPHA))
    share = float(np.concatenate(hits).mean()) if hits else float("nan")
    return Settled(len(asked), share)


def settled_table() -> Table:
    """An empty table under `SETTLED_COLUMNS`."""
    table = Table(
        title=f"'n seeds would settle it', said to be so in {100 * POWER:g} % of studies were the pilot the truth"
    )
    for index, head in enumerate(SETTLED_COLUMNS):
        table.add_column(head, justify="right" if index else "left")
    return table


def settled_row(world: World, difference: float, found: Settled) -> Iterator[str]:
    """Cells under `SETTLED_COLUMNS`."""
    yield world.name
    yield f"{100 * difference:+g}"
    yield str(found.cells)
    yield f"{100 * found.share:.0f}"
    yield f"{100 * found.error:.0f}"
