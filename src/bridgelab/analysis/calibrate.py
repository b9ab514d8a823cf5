"""How often the verdict is wrong: studies are simulated whose truth is known, and judged as real ones are.

`make calibrate` prints, for 3, 5 and 10 seeds and true differences of 0 and ±δ in all cells of a study, how often at least one
cell *breaks* or *leads*, how often a cell *holds* (false at ±δ), and how often the 95 % interval holds the truth: for the method
in use (`contrast`) and for two that were tried beside it.

An answer is right where a normal variable, the sum of what is owed to the image, to bridge and image, to run and image, and to
the question itself, is below the run's threshold. So answers to one image go together, as in a beta-binomial, and the mean chance
is exactly the run's own: its bridge's, moved by its seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import special

from bridgelab.analysis.contrast import Contrast, Part, contrast
from bridgelab.analysis.verdict import BREAKS, DELTA, HOLDS, LEADS, outcome, p_values

STUDIES = 2000
CELLS = 5
SEEDS = (3, 5, 10)
AT_ONCE = 2e7  # chances in memory
HEADS = ("studies of", "seeds", "true difference", "breaks or leads, %", "holds, %", "interval holds the truth, %", "half width")  # fmt: skip


@dataclass(frozen=True)
class World:
    """What studies are drawn from.

    Args:
        name: of the row.
        images: that are asked about.
        asked: questions of a cell on each image.
        seed_sd: of a run's accuracy around its bridge's.
        image: share of an answer's variance that the image gives, to all bridges alike.
        own: to each bridge by itself.
        run: to each run by itself.
        mean: of both bridges' accuracies.
    """

    name: str
    images: int = 300
    asked: int = 2
    seed_sd: float = 0.01
    image: float = 0.2
    own: float = 0.1
    run: float = 0.2
    mean: float = 0.8


WORLDS = (
    World("300 images, seeds alike", seed_sd=0.0),
    World("300 images, seeds 1 point apart"),
    World("300 images, seeds 3 points apart", seed_sd=0.03),
    World("40 images, seeds 1 point apart", images=40),
    World("1,000 images, seeds 1 point apart", images=1000),
    World("300 images, 95 % right, seeds 1 point apart", mean=0.95),
)


def simulate(
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float
) -> np.ndarray:
    """Shares of right answers [study, cell, bridge, run, image], the first bridge ahead by `difference` in all cells."""

    def owed(share: float, *size: int) -> np.ndarray:
        return np.sqrt(share) * rng.standard_normal(size, dtype=np.float32)

    ahead = np.array([difference / 2, -difference / 2])[:, None]
    # A uniform distribution: it has bounds, so that no accuracy passes 1. A seed that is bad is so in all cells.
    moved = world.seed_sd * np.sqrt(12) * (rng.random((studies, 1, 2, seeds)) - 0.5)
    threshold = special.ndtri(world.mean + ahead + moved)
    known = (
        owed(world.image, studies, CELLS, 1, 1, world.images)
        + owed(world.own, studies, CELLS, 2, 1, world.images)
        + owed(world.run, studies, CELLS, 2, seeds, world.images)
    )
    left = np.sqrt(1 - world.image - world.own - world.run)
    chance = special.ndtr((threshold[..., None].astype(np.float32) - known) / left)
    return rng.binomial(world.asked, chance) / world.asked


def contrasts(shares: np.ndarray) -> Contrast:
    """First bridge − second, of each study and cell, the runs of either by themselves.

    Args:
        shares: as `simulate` gives them.
    """
    images = shares.shape[-1]
    values = shares.mean(axis=-1)
    influence = (shares - values[..., None]) / images
    seeds = tuple(0 for _ in range(shares.shape[-2]))
    first, second = (Part(values[:, :, b], influence[:, :, b], 1 / images**2, seeds) for b in (0, 1))
    return contrast(first, second)


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
    size = max(1, int(AT_ONCE / (CELLS * 2 * seeds * world.images)))
    seen: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in METHODS}
    for begin in range(0, studies, size):
        number = min(size, studies - begin)
        found = contrasts(simulate(world, rng, studies=number, seeds=seeds, difference=difference))
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
    """Simulate, and print one table a method."""
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
        for name, found in rates(world, seeds=seeds, difference=difference).items():
            tables[name].add_row(*row(world, seeds, difference, found))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    for table in tables.values():
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
