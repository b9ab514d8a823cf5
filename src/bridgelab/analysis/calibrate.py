"""How often the verdict is wrong: studies are simulated whose truth is known (`simulation`), and judged as real ones are.

`make calibrate` prints, for 3, 5 and 10 seeds and true differences of 0 and ±δ in all cells of a study, how often at least one
cell *breaks* or *leads*, how often a cell *holds* (false at ±δ), and how often the 95 % interval holds the truth: for the method
in use (`contrast`) and for two that were tried beside it. Then, how often the difference is found that `bridgelab plan` promises
to find (`calibrate_power`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bridgelab.analysis.calibrate_power import power_row, power_table, promise
from bridgelab.analysis.contrast import Contrast
from bridgelab.analysis.simulation import CELLS, SEEDS, STUDIES, WORLDS, World, drawn
from bridgelab.analysis.verdict import BREAKS, DELTA, HOLDS, LEADS, outcome, p_values

HEADS = ("studies of", "seeds", "true difference", "breaks or leads, %", "holds, %", "interval holds the truth, %", "half width")  # fmt: skip


@dataclass(frozen=True)
class OverSeeds(Contrast):
    """The t test over the runs' means, as if the images were all there are."""

    @property
    def variance(self) -> np.ndarray:
        return self.seeds.sum(axis=-1)

    @property
    def freedom(self) -> np.ndarray:
        return self.variance**2 / (self.seeds**2 / (np.array(self.runs) - 1.0)).sum(axis=-1)


@dataclass(frozen=True)
class Added(Contrast):
    """Variances over seeds and over images added whole, what both hold counted twice."""

    @property
    def own(self) -> np.ndarray:
        return self.seeds


METHODS = MappingProxyType({"in use": Contrast, "t over seeds": OverSeeds, "added whole": Added})


@dataclass(frozen=True)
class Rates:
    """Of simulated studies: the share in which some cell breaks or leads, and of cells that hold, or whose interval holds the truth."""

    differs: float
    holds: float
    covers: float
    half_width: float


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
    for found in drawn(world, rng, studies=studies, seeds=seeds, difference=difference):
        for name, method in METHODS.items():
            by = method(**vars(found))
            said, _ = outcome(*p_values(by, DELTA))
            low, high = by.interval()
            differs = np.asarray(np.isin(said, (BREAKS, LEADS)).any(axis=-1))
            seen[name].append(
                (differs, said == HOLDS, (low <= difference) & (difference <= high), (high - low) / 2)
            )
    return {
        name: Rates(*(float(np.concatenate(column).mean()) for column in zip(*parts, strict=True)))
        for name, parts in seen.items()
    }


def calibrate() -> None:
    """Simulate, and print one table a method, then the table of what a plan promises."""
    cases = [
        (world, seeds, difference)
        for world in WORLDS
        for seeds in SEEDS
        for difference in (0.0, -DELTA, DELTA)
    ]
    tables = {
        name: Table(title=f"{name}: {STUDIES:,} studies of {CELLS} cells a row, δ = {100 * DELTA:g} points")
        for name in METHODS
    }
    for table in tables.values():
        for index, head in enumerate(HEADS):
            table.add_column(head, justify="right" if index else "left")
    for world, seeds, difference in track(cases, description="simulating", transient=True):
        of_methods = rates(world, seeds=seeds, difference=difference, studies=STUDIES)
        for name, found in of_methods.items():
            tables[name].add_row(*row(world, seeds, difference, found))
    promised = power_table(STUDIES)
    planned = [(world, seeds) for world in WORLDS for seeds in SEEDS]
    for world, seeds in track(planned, description="simulating plans", transient=True):
        promised.add_row(*power_row(world, seeds, promise(world, seeds=seeds, studies=STUDIES)))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    for table in (*tables.values(), promised):
        console.print(table)


def row(world: World, seeds: int, difference: float, found: Rates) -> Iterator[str]:
    """Cells under `HEADS`."""
    yield world.name
    yield str(seeds)
    yield f"{100 * difference:+g}"
    yield f"{100 * found.differs:.1f}"
    yield f"{100 * found.holds:.1f}"
    yield f"{100 * found.covers:.1f}"
    yield f"{100 * found.half_width:.1f}"
