"""Studies whose truth is known, drawn to be judged as recorded ones are.

An answer is right where a normal variable, the sum of what is owed to the image, to bridge and image, to run and image, and to
the question itself, is below the run's threshold. So answers to one image go together, as in a beta-binomial, and the mean chance
is exactly the run's own: its bridge's, moved by its seed.

Seeds that are uniformly spread are the most benign case, so others stand beside it: tails as heavy as those of Student's t with three
degrees of freedom; one seed in five that collapses, of both bridges or of one; cells on few images; groups of pictures that belong
together; and a variance that all runs of a bridge share, such as what a search's seed or the order of the data gives, which no number
of inits can show.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from bridgelab.statistics.contrast import Contrast, Part, contrast

STUDIES = 1000
CELLS = 5
SEEDS = (3, 5, 10)
AT_ONCE = 2e7  # chances in memory


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
        heavy: whether seeds have heavy tails.
        collapse: by how much the accuracy of one seed in five falls; its bridge's mean is kept.
        collapsing: of how many of the two bridges, the second first.
        bridge_sd: of what all runs of a bridge share.
    """

    name: str
    images: int = 300
    asked: int = 2
    seed_sd: float = 0.01
    image: float = 0.2
    own: float = 0.1
    run: float = 0.2
    mean: float = 0.8
    heavy: bool = False
    collapse: float = 0.0
    collapsing: int = 2
    bridge_sd: float = 0.0

    @property
    def symmetric(self) -> bool:
        """Whether a difference is as hard to find either way."""
        return not self.collapse or self.collapsing == 2


COLLAPSES = 0.2  # share of the seeds
WORLDS = (
    World("300 images, seeds alike", seed_sd=0.0),
    World("300 images, seeds 1 point apart"),
    World("300 images, seeds 3 points apart", seed_sd=0.03),
    World("40 images, seeds 1 point apart", images=40),
    World("1,000 images, seeds 1 point apart", images=1000),
    World("300 images, 95 % right, seeds 1 point apart", mean=0.95),
    World("300 images, seeds 3 points apart, heavy tails", seed_sd=0.03, heavy=True),
    World("50 groups of six pictures, seeds 1 point apart", images=50, asked=12),
    World("8 images a cell, seeds 1 point apart", images=8, asked=1),
    World("15 images a cell, seeds 1 point apart", images=15, asked=1),
    World("300 images, one seed in five falls by 25 points", collapse=0.25),
)
# What no test over so few seeds can keep; how often is said.
UNKEPT = (
    World(
        "300 images, one seed in five falls by 25 points, of one bridge alone", collapse=0.25, collapsing=1
    ),
    World("1,000 images, runs of a bridge share .5 points", images=1000, bridge_sd=0.005),
    World("1,000 images, runs of a bridge share 2 points", images=1000, bridge_sd=0.02),
)


def simulate(
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float | np.ndarray
) -> np.ndarray:
    """Shares of right answers [study, cell, bridge, run, image], the first bridge ahead by `difference`, in all cells or by cell."""

    def owed(share: float, *size: int) -> np.ndarray:
        return np.sqrt(share) * rng.standard_normal(size, dtype=np.float32)

    ahead = np.multiply.outer(np.broadcast_to(difference, CELLS), [0.5, -0.5])[..., None]
    # A seed that is bad is so in all cells. A uniform distribution has bounds, so that no accuracy passes 1.
    each = (studies, 1, 2, seeds)
    if world.heavy:
        moved = world.seed_sd * rng.standard_t(3, each) / np.sqrt(3)
    else:
        moved = world.seed_sd * np.sqrt(12) * (rng.random(each) - 0.5)
    if world.collapse:
        fallen = (rng.random(each) < COLLAPSES) - COLLAPSES
        fallen[:, :, : 2 - world.collapsing] = 0
        moved = moved - world.collapse * fallen
    if world.bridge_sd:
        moved = moved + world.bridge_sd * rng.standard_normal((studies, 1, 2, 1))
    threshold = special.ndtri(np.clip(world.mean + ahead + moved, 0.01, 0.99))
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
    influence = (shares - values[..., None]) / images * np.sqrt(images / (images - 1))
    seeds = tuple(0 for _ in range(shares.shape[-2]))
    each = np.arange(images)
    first, second = (
        Part(values[:, :, b], influence[:, :, b], each, images, 1 / images**2, seeds) for b in (0, 1)
    )
    return contrast(first, second)


def batches(
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float | np.ndarray
) -> Iterator[np.ndarray]:
    """Shares of simulated studies as `simulate` gives them, as many studies at a time as memory has room for."""
    size = max(1, int(AT_ONCE / (CELLS * 2 * seeds * world.images)))
    for begin in range(0, studies, size):
        number = min(size, studies - begin)
        yield simulate(world, rng, studies=number, seeds=seeds, difference=difference)


def drawn(
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float | np.ndarray
) -> Iterator[Contrast]:
    """Contrasts of simulated studies [study, cell], likewise."""
    yield from map(contrasts, batches(world, rng, studies=studies, seeds=seeds, difference=difference))
