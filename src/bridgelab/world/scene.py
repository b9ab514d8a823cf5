"""Scenes with CLEVR's attributes: their data classes, their random draw, and their relationships.

Vocabulary and margins follow Johnson et al. 2017 (CLEVR, arXiv:1612.06890). Differs: the camera is fixed,
so that `right` is the world's +x and `behind` its +y. Positions fill the square [-3, 3]². Every pair is at least
`MARGIN` apart along *both* axes, so that each spatial relation of each pair is decided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ("cube", "sphere", "cylinder")
SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
SPECK_COLORS = ("white", "black", "orange", "pink")  # no object has one of these
ATTRIBUTES = {"size": SIZES, "color": COLORS, "material": MATERIALS, "shape": SHAPES}
RADIUS = {"small": 0.35, "large": 0.7}
HALF_WIDTH = 3.0  # the ground square is [-HALF_WIDTH, HALF_WIDTH]²
MARGIN = 0.3  # least distance of any pair along x, and along y
MOST = 16  # objects in a scene
CROWD = 10  # with more objects than this, positions are improved after they are drawn
CLEARANCE = 0.15  # least gap between the outlines of any pair on the ground
DIRECTIONS = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "front": (0.0, -1.0, 0.0),
    "behind": (0.0, 1.0, 0.0),
}


@dataclass(frozen=True)
class Object:
    """One object at rest on the ground. `x` grows to the right, `y` away from the camera; `rotation` is in degrees."""

    shape: str
    size: str
    color: str
    material: str
    x: float
    y: float
    rotation: float = 0.0

    @property
    def radius(self) -> float:
        """Radius (and half the height) of a sphere or cylinder, half the diagonal of a cube's face."""
        return RADIUS[self.size]

    @property
    def height(self) -> float:
        """Height of the centre above the ground. CLEVR shrinks a cube's edge by √2, so that all shapes look alike in size."""
        return self.radius / math.sqrt(2) if self.shape == "cube" else self.radius


@dataclass(frozen=True)
class Speck:
    """A tiny thing on the ground that is not an object: questions, captions, masks and words ignore it."""

    shape: str
    color: str
    x: float
    y: float
    radius: float
    rotation: float = 0.0


@dataclass(frozen=True)
class Ground:
    """A pattern of soft blotches on the ground: two waves, each (radians per unit along x, along y, phase)."""

    contrast: float
    waves: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Scene:
    """Objects in the order they were placed.

    Args:
        objects: at most `MOST`.
        light: degrees by which the key light is turned to the left of its usual azimuth.
        image_index: index of the scene in its split.
        specks: distractors that only the image has (see `distribution_shift`).
        ground: pattern that only the image has.
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

    Objects may hide each other; `render.sample_visible_scene` draws scenes in which each is visible.

    Args:
        rng: generator of all that is drawn.
        objects: the least and the most objects.
        sizes: sizes to draw from.
        colors: colours to draw from, by shape; all, for a shape that it leaves out.
        image_index: index of the scene in its split.
        tries: draws of the positions before the sizes are drawn again.
    Raises:
        ValueError: if the range is empty, or this many objects can't keep the margins.
    """
    low, high = objects
    if not 1 <= low <= high <= MOST:
        raise ValueError(
            f"objects={objects}: must be a range within 1 to {MOST}, the number that fits with a margin of {MARGIN}."
        )
    n = int(rng.integers(low, high + 1))
    while True:
        drawn_sizes = [sizes[k] for k in rng.integers(0, len(sizes), n)]
        radii = np.array([RADIUS[s] for s in drawn_sizes])
        least = radii[:, None] + radii[None, :] + CLEARANCE
        np.fill_diagonal(least, 0.0)
        for _ in range(tries):
            xy = np.stack([_spread(rng, n), _spread(rng, n)], axis=1)
            if n > CROWD:
                _separate(rng, xy, least)
            if (np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) >= least).all():
                placed = [
                    _random_object(rng, size, float(x), float(y), colors or {})
                    for size, (x, y) in zip(drawn_sizes, xy, strict=True)
                ]
                return Scene(
                    tuple(placed), light=round(float(rng.uniform(-40, 40)), 2), image_index=image_index
                )
        # Many large objects may not fit at all: draw the sizes again.


def _random_object(
    rng: np.random.Generator, size: str, x: float, y: float, colors: Mapping[str, Sequence[str]]
) -> Object:
    shape = SHAPES[rng.integers(len(SHAPES))]
    choices = colors.get(shape, COLORS)
    return Object(
        shape=shape,
        size=size,
        color=choices[int(rng.integers(len(choices)))],
        material=MATERIALS[rng.integers(len(MATERIALS))],
        x=round(x, 4),
        y=round(y, 4),
        rotation=round(float(rng.uniform(0, 360)), 2),
    )


def _separate(rng: np.random.Generator, xy: np.ndarray, least: np.ndarray, swaps: int = 200) -> None:
    """Swap coordinates in place, as long as that brings no more pairs too close. Redrawing a crowd seldom separates it."""

    def close() -> np.ndarray:
        return np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) < least

    pairs = close()
    for _ in range(swaps):
        if not pairs.any():
            return
        i = int(rng.choice(np.flatnonzero(pairs.any(1))))
        swapped, axis = [i, int(rng.integers(len(xy)))], int(rng.integers(2))
        xy[swapped, axis] = xy[swapped[::-1], axis]
        after = close()
        if after.sum() > pairs.sum():
            xy[swapped, axis] = xy[swapped[::-1], axis]
        else:
            pairs = after


def _spread(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw `n` coordinates in random order, uniform among those that are pairwise more than MARGIN apart."""
    slack = MARGIN * 1.001  # rounding to 4 digits must not eat the margin
    free = 2 * HALF_WIDTH - slack * (n - 1) - 2e-3
    ordered = np.sort(rng.uniform(0, free, n)) + slack * np.arange(n) + 1e-3 - HALF_WIDTH
    return rng.permutation(ordered)


def relationships(scene: Scene, eps: float = 0.2) -> dict[str, list[list[int]]]:
    """Return, by relation and object i, the objects that stand in that relation *to* i (CLEVR's `relationships`)."""
    related = {}
    for name, (dx, dy, _) in DIRECTIONS.items():
        related[name] = [
            [j for j, b in enumerate(scene.objects) if j != i and (b.x - a.x) * dx + (b.y - a.y) * dy > eps]
            for i, a in enumerate(scene.objects)
        ]
    return related
