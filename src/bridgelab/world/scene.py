"""Scenes with CLEVR's attributes: what a scene is, how one is drawn at random, and how it is written down.

Vocabulary and margins follow Johnson et al. 2017 (CLEVR, arXiv:1612.06890). Differs: the camera is fixed,
so that `right` is the world's +x and `behind` its +y; positions fill the square [-3, 3]² and every pair is
at least `MARGIN` apart along *both* axes, so that each spatial relation of each pair is decided.
"""

import math
from dataclasses import dataclass

import numpy as np

SHAPES = ("cube", "sphere", "cylinder")
SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
ATTRIBUTES = {"size": SIZES, "color": COLORS, "material": MATERIALS, "shape": SHAPES}
RADIUS = {"small": 0.35, "large": 0.7}
HALF_WIDTH = 3.0  # the ground square is [-HALF_WIDTH, HALF_WIDTH]²
MARGIN = 0.3  # least distance of any pair along x, and along y
CLEARANCE = 0.15  # least gap between the outlines of any pair on the ground
DIRECTIONS = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "front": (0.0, -1.0, 0.0),
    "behind": (0.0, 1.0, 0.0),
}


@dataclass(frozen=True)
class Object:
    """One object at rest on the ground; `x` grows to the right, `y` away from the camera, `rotation` in degrees."""

    shape: str
    size: str
    color: str
    material: str
    x: float
    y: float
    rotation: float = 0.0

    @property
    def radius(self) -> float:
        """Radius of sphere and cylinder, and half the diagonal of a cube's face; also half the height of the first two."""
        return RADIUS[self.size]

    @property
    def height(self) -> float:
        """Height of the centre above the ground (CLEVR shrinks a cube's edge by √2, so that all look of one size)."""
        return self.radius / math.sqrt(2) if self.shape == "cube" else self.radius


@dataclass(frozen=True)
class Scene:
    """Objects in the order they were placed; `light` is the key light's azimuth in degrees (it alone varies)."""

    objects: tuple[Object, ...]
    light: float = 0.0
    image_index: int = 0


def sample_scene(
    rng: np.random.Generator, *, objects: tuple[int, int] = (3, 10), image_index: int = 0, tries: int = 200
) -> Scene:
    """Draw a scene of `objects[0]` to `objects[1]` objects whose pairs keep `MARGIN` on both axes and `CLEARANCE`.

    Visibility is not looked at here: it takes the renderer (`bridgelab.world.render.sample_visible_scene`).

    Raises:
        ValueError: if the range is empty, or so many objects can't keep the margins.
    """
    low, high = objects
    most = int(2 * HALF_WIDTH / MARGIN / 1.6)
    if not 1 <= low <= high <= most:
        raise ValueError(
            f"objects={objects}: must be a range within 1 to {most}, what {MARGIN} of margin leaves room for."
        )
    n = int(rng.integers(low, high + 1))
    while True:
        sizes = [SIZES[k] for k in rng.integers(0, len(SIZES), n)]
        radii = np.array([RADIUS[s] for s in sizes])
        least = radii[:, None] + radii[None, :] + CLEARANCE
        np.fill_diagonal(least, 0.0)
        for _ in range(tries):
            xy = np.stack([_spread(rng, n), _spread(rng, n)], axis=1)
            if (np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) >= least).all():
                placed = [
                    Object(
                        shape=SHAPES[rng.integers(len(SHAPES))],
                        size=size,
                        color=COLORS[rng.integers(len(COLORS))],
                        material=MATERIALS[rng.integers(len(MATERIALS))],
                        x=round(float(x), 4),
                        y=round(float(y), 4),
                        rotation=round(float(rng.uniform(0, 360)), 2),
                    )
                    for size, (x, y) in zip(sizes, xy, strict=True)
                ]
                return Scene(
                    tuple(placed), light=round(float(rng.uniform(-40, 40)), 2), image_index=image_index
                )
        # Many large objects may not fit at all: draw the sizes anew.


def _spread(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` coordinates in random order, uniform among those that are pairwise more than MARGIN apart."""
    slack = MARGIN * 1.001  # rounding to 4 digits must not eat the margin
    free = 2 * HALF_WIDTH - slack * (n - 1) - 2e-3
    ordered = np.sort(rng.uniform(0, free, n)) + slack * np.arange(n) + 1e-3 - HALF_WIDTH
    return rng.permutation(ordered)


def relationships(scene: Scene, eps: float = 0.2) -> dict[str, list[list[int]]]:
    """For each relation and each object i, the objects that stand in that relation *to* i (CLEVR's `relationships`)."""
    found = {}
    for name, (dx, dy, _) in DIRECTIONS.items():
        found[name] = [
            [j for j, b in enumerate(scene.objects) if j != i and (b.x - a.x) * dx + (b.y - a.y) * dy > eps]
            for i, a in enumerate(scene.objects)
        ]
    return found
