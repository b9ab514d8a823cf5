"""Scenes with CLEVR's attributes: what a scene is, how one is drawn at random, and how it is written down.

Vocabulary and margins follow Johnson et al. 2017 (CLEVR, arXiv:1612.06890). Differs: the camera is fixed,
so that `right` is the world's +x and `behind` its +y; positions fill the square [-3, 3]² and every pair is
at least `MARGIN` apart along *both* axes, so that each spatial relation of each pair is decided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ("cube", "sphere", "cylinder")
SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
SPECK_COLORS = ("white", "black", "orange", "pink")  # none of an object's
ATTRIBUTES = {"size": SIZES, "color": COLORS, "material": MATERIALS, "shape": SHAPES}
RADIUS = {"small": 0.35, "large": 0.7}
HALF_WIDTH = 3.0  # the ground square is [-HALF_WIDTH, HALF_WIDTH]²
MARGIN = 0.3  # least distance of any pair along x, and along y
MOST = 16  # objects of a scene
CROWD = 10  # objects, beyond which places are bettered after they are drawn
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
class Speck:
    """A tiny thing on the ground that is no object: questions, captions, masks and words pass it over."""

    shape: str
    color: str
    x: float
    y: float
    radius: float
    rotation: float = 0.0


@dataclass(frozen=True)
class Ground:
    """A pattern of soft blotches on the ground: two waves, each (radians a unit along x, along y, phase)."""

    contrast: float
    waves: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Scene:
    """Objects in the order they were placed; `light` is the key light's azimuth in degrees.

    `specks` and `ground` are there for the eye alone (see `bend`).
    """

    objects: tuple[Object, ...]
    light: float = 0.0
    image_index: int = 0
    specks: tuple[Speck, ...] = ()
    ground: Ground | None = None


def sample_scene(
    rng: np.random.Generator,
    *,
    objects: tuple[int, int] = (3, 10),
    sizes: Sequence[str] = SIZES,
    colors: Mapping[str, Sequence[str]] | None = None,
    image_index: int = 0,
    tries: int = 200,
) -> Scene:
    """Draw a scene of `objects[0]` to `objects[1]` objects whose pairs keep `MARGIN` on both axes and `CLEARANCE`.

    Visibility is not looked at here: it takes the renderer (`bridgelab.world.render.sample_visible_scene`).

    Args:
        sizes: that objects have.
        colors: that objects of a shape have; all, for a shape that it leaves out.
    Raises:
        ValueError: if the range is empty, or so many objects can't keep the margins.
    """
    low, high = objects
    if not 1 <= low <= high <= MOST:
        raise ValueError(
            f"objects={objects}: must be a range within 1 to {MOST}, what {MARGIN} of margin leaves room for."
        )
    n = int(rng.integers(low, high + 1))
    while True:
        drawn = [sizes[k] for k in rng.integers(0, len(sizes), n)]
        radii = np.array([RADIUS[s] for s in drawn])
        least = radii[:, None] + radii[None, :] + CLEARANCE
        np.fill_diagonal(least, 0.0)
        for _ in range(tries):
            xy = np.stack([_spread(rng, n), _spread(rng, n)], axis=1)
            if n > CROWD:
                _part(rng, xy, least)
            if (np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) >= least).all():
                placed = [
                    _dressed(rng, size, float(x), float(y), colors or {})
                    for size, (x, y) in zip(drawn, xy, strict=True)
                ]
                return Scene(
                    tuple(placed), light=round(float(rng.uniform(-40, 40)), 2), image_index=image_index
                )
        # Many large objects may not fit at all: draw the sizes anew.


def _dressed(
    rng: np.random.Generator, size: str, x: float, y: float, colors: Mapping[str, Sequence[str]]
) -> Object:
    shape = SHAPES[rng.integers(len(SHAPES))]
    among = colors.get(shape, COLORS)
    return Object(
        shape=shape,
        size=size,
        color=among[int(rng.integers(len(among)))],
        material=MATERIALS[rng.integers(len(MATERIALS))],
        x=round(x, 4),
        y=round(y, 4),
        rotation=round(float(rng.uniform(0, 360)), 2),
    )


def _part(rng: np.random.Generator, xy: np.ndarray, least: np.ndarray, swaps: int = 200) -> None:
    """Swap coordinates, in place, as long as that leaves no more pairs too close; chance alone seldom parts a crowd."""

    def close() -> np.ndarray:
        return np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) < least

    now = close()
    for _ in range(swaps):
        if not now.any():
            return
        i = int(rng.choice(np.flatnonzero(now.any(1))))
        pair, axis = [i, int(rng.integers(len(xy)))], int(rng.integers(2))
        xy[pair, axis] = xy[pair[::-1], axis]
        after = close()
        if after.sum() > now.sum():
            xy[pair, axis] = xy[pair[::-1], axis]
        else:
            now = after


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
