"""How often the verdict is wrong: studies are simulated whose truth is known (`simulation`), and judged as real ones are.

`make calibrate` prints, for 3, 5 and 10 seeds and true differences of 0 and −δ in all cells of a study (and δ, where the two bridges are
not alike), how often at least one cell *breaks* or *leads*, how often a cell *holds* (false at ±δ), how often the 95 % interval holds
the truth, and how often the page warns that a seed stands apart: for the method in use (`contrast`), and for two that were tried
beside it. Worlds in which no test over so few seeds can keep its promise have a table of their own. Then, how often the
difference is found that `bridgelab plan` promises to find, and how often a cell is settled by what would settle it
(`calibrate_power`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from rich.progress import track
from rich.table import Table

from bridgelab.console import get_console
from bridgelab.statistics.calibration.promised_power import (
    PLANNED,
    SETTLED,
    power_row,
    power_table,
    promise,
    settled,
    settled_row,
    settled_table,
)
from bridgelab.statistics.calibration.simulation import (
    CELLS,
    SEEDS,
    STUDIES,
    UNKEPT,
    WORLDS,
    World,
    batches,
    contrasts,
)
from bridgelab.statistics.contrast import Contrast
from bridgelab.statistics.verdict import BREAKS, DELTA, HOLDS, LEADS, outcome, p_values, stands_apart

COLUMNS = ("studies of", "seeds", "true difference", "breaks or leads, %", "holds, %", "interval holds the truth, %", "half width",
           "a seed apart, %")  # fmt: skip


@dataclass(frozen=True)
class OverSeeds(Contrast):
    """The t test over the runs' means, as if the images were all there are."""

    @property
    def variance(self) -> np.ndarray:
        return self.seeds.sum(axis=-1)

    @property
    def freedom(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # where all runs are alike
            return self.variance**2 / (self.seeds**2 / (np.array(self.runs) - 1.0)).sum(axis=-1)


@dataclass(frozen=True)
class Added(Contrast):
    """Variances over seeds and over images added whole, what both hold counted twice."""

    @property
    def own(self) -> np.ndarray:
        return self.seeds


IN_USE, NOT_KEPT = "in use", "promises that can't be kept"
METHODS = MappingProxyType({IN_USE: Contrast, "t over seeds": OverSeeds, "added whole": Added})


@dataclass(frozen=True)
class Rates:
    """Of simulated studies: the share in which some cell breaks or leads, of cells that hold, and whose interval holds the truth.

    `apart` is the share of studies with a seed that stands apart.
    """

    differs: float
    holds: float
    covers: float
    half_width: float
    apart: float


def rates(
    world: World, *, seeds: int, difference: float, studies: int = STUDIES, draw: int = 0
) -> dict[str, Rates]:
    """What each method says of simulated studies.

    Args:
        world: what they are drawn from.
        seeds: of each bridge.
        difference: the truth.
        studies: how many.
        draw: seed of the simulation.
    """
    rng = np.random.default_rng([draw, seeds, round(1000 * (difference + 1)), world.images])
    seen: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in METHODS}
    for shares in batches(world, rng, studies=studies, seeds=seeds, difference=difference):
        found = contrasts(shares)
        asked = CELLS * world.images * world.asked
        apart = np.asarray(stands_apart(shares.mean(axis=(1, 4)), asked).any(axis=(1, 2)))
        for name, method in METHODS.items():
            by = method(**vars(found))
            said, _ = outcome(*p_values(by, DELTA))
            low, high = by.interval()
            differs = np.asarray(np.isin(said, (BREAKS, LEADS)).any(axis=-1))
            seen[name].append(
                (
                    differs,
                    said == HOLDS,
                    np.asarray((low <= difference) & (difference <= high)),
                    (high - low) / 2,
                    apart,
                )
            )
    return {
        name: Rates(*(float(np.concatenate(column).mean()) for column in zip(*parts, strict=True)))
        for name, parts in seen.items()
    }


def calibrate() -> None:
    """Simulate, and print one table a method, then the table of what a plan promises."""
    cases = [
        (world, seeds, difference)
        for world in (*WORLDS, *UNKEPT)
        for seeds in SEEDS
        for difference in (0.0, -DELTA, DELTA)[: 2 + (not world.symmetric)]
    ]
    titles = {name: f"{name}: {{}}" for name in METHODS} | {
        NOT_KEPT: f"{NOT_KEPT}, by the method in use: {{}}"
    }
    told = f"{STUDIES:,} studies of {CELLS} cells a row, δ = {100 * DELTA:g} points"
    tables = {name: Table(title=title.format(told)) for name, title in titles.items()}
    for table in tables.values():
        for index, head in enumerate(COLUMNS):
            table.add_column(head, justify="right" if index else "left")
    for world, seeds, difference in track(cases, description="simulating", transient=True):
        of_methods = rates(world, seeds=seeds, difference=difference, studies=STUDIES)
        if world in UNKEPT:
            of_methods = {NOT_KEPT: of_methods[IN_USE]}
        for name, found in of_methods.items():
            tables[name].add_row(*row(world, seeds, difference, found))
    promised = power_table(STUDIES)
    planned = [(world, seeds) for world in PLANNED for seeds in SEEDS]
    for world, seeds in track(planned, description="simulating plans", transient=True):
        promised.add_row(*power_row(world, seeds, promise(world, seeds=seeds, studies=STUDIES)))
    settling = settled_table()
    for world, difference in track(SETTLED, description="simulating what would settle", transient=True):
        settling.add_row(*settled_row(world, difference, settled(world, difference=difference)))
    console = get_console()
    for table in (*tables.values(), promised, settling):
        console.print(table)


def row(world: World, seeds: int, difference: float, found: Rates) -> Iterator[str]:
    """Cells under `COLUMNS`."""
    yield world.name
    yield str(seeds)
    yield f"{100 * difference:+g}"
    yield f"{100 * found.differs:.1f}"
    yield f"{100 * found.holds:.1f}"
    yield f"{100 * found.covers:.1f}"
    yield f"{100 * found.half_width:.1f}"
    yield f"{100 * found.apart:.1f}"
