"""Studies whose truth is known, drawn to be judged as recorded ones are.

An answer is right where a normal variable, the sum of what is owed to the image, to bridge and image, to run and image, and to
the question itself, is below the run's threshold. So answers to one image go together, as in a beta-binomial, and the mean chance
is exactly the run's own: its bridge's, moved by its seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from bridgelab.analysis.contrast import Contrast, Part, contrast

STUDIES = 2000
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
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float | np.ndarray
) -> np.ndarray:
    """Shares of right answers [study, cell, bridge, run, image], the first bridge ahead by `difference`, in all cells or by cell."""

    def owed(share: float, *size: int) -> np.ndarray:
        return np.sqrt(share) * rng.standard_normal(size, dtype=np.float32)

    ahead = np.multiply.outer(np.broadcast_to(difference, CELLS), [0.5, -0.5])[..., None]
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
    influence = (shares - values[..., None]) / images * np.sqrt(images / (images - 1))
    seeds = tuple(0 for _ in range(shares.shape[-2]))
    each = np.arange(images)
    first, second = (
        Part(values[:, :, b], influence[:, :, b], each, images, 1 / images**2, seeds) for b in (0, 1)
    )
    return contrast(first, second)


def drawn(
    world: World, rng: np.random.Generator, *, studies: int, seeds: int, difference: float | np.ndarray
) -> Iterator[Contrast]:
    """Contrasts of simulated studies [study, cell], as many studies at a time as memory has room for."""
    size = max(1, int(AT_ONCE / (CELLS * 2 * seeds * world.images)))
    for begin in range(0, studies, size):
        number = min(size, studies - begin)
        yield contrasts(simulate(world, rng, studies=number, seeds=seeds, difference=difference))
