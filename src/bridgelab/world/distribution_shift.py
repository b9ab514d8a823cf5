"""Bends of the world: distribution shifts, each of one thing about a split's scenes, images or questions.

A split is named `test`, or `test-clutter` for the same with a bend of `BENDS`. A bend that leaves the scenes alone has
those of the plain split: the same objects, image by image, and the same questions, if it leaves those alone too. A model
can then be compared with itself on pairs that differ in nothing else.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bridgelab.world.questions.families import HOPS, KINDS
from bridgelab.world.scene import COLORS, HALF_WIDTH, SHAPES, SIZES, SPECK_COLORS, Ground, Scene, Speck

# Johnson et al. 2017, §4.7 (CoGenT): cubes in these colours and cylinders in the others, or the other way round.
_CUBES = ("gray", "blue", "brown", "yellow")
_CYLINDERS = tuple(color for color in COLORS if color not in _CUBES)


@dataclass(frozen=True)
class Bend:
    """What a bend changes; by default nothing.

    Args:
        objects: the least and the most objects of a scene; None for the world's own.
        sizes: sizes of objects.
        colors: colours of objects, by shape; all, for a shape that is left out.
        shown: the least and the most that is visible of the most hidden object, as a share of its pixels if it stood alone.
        specks: number of tiny bright things on the ground, which no question and no caption mentions.
        texture: contrast of the ground's pattern, 0 to 1.
        pixels: the image's side, as a multiple of the world's.
        families: families of questions; None for `families.FAMILIES`.
    """

    objects: tuple[int, int] | None = None
    sizes: tuple[str, ...] = SIZES
    colors: Mapping[str, tuple[str, ...]] | None = None
    shown: tuple[float, float] = (1 / 3, 1.0)
    specks: int = 0
    texture: float = 0.0
    pixels: float = 1.0
    families: tuple[str, ...] | None = None

    @property
    def redraws_scenes(self) -> bool:
        """Whether the scenes differ from the plain split's."""
        return (self.objects, self.sizes, self.colors, self.shown) != (None, SIZES, None, Bend.shown)


BENDS: dict[str, Bend] = {
    "many": Bend(objects=(11, 16)),
    "small": Bend(sizes=("small",)),
    "large": Bend(sizes=("large",), objects=(3, 8)),
    "hidden": Bend(shown=(0.15, 0.5)),
    "cogent_a": Bend(colors={"cube": _CUBES, "cylinder": _CYLINDERS}),
    "cogent_b": Bend(colors={"cube": _CYLINDERS, "cylinder": _CUBES}),
    "specks": Bend(specks=24),
    "texture": Bend(texture=0.5),
    "clutter": Bend(specks=24, texture=0.5),
    "fine": Bend(pixels=2.0),
    "coarse": Bend(pixels=0.5),
    "longer": Bend(families=tuple(f"{hop}_{kind}" for hop in HOPS[4:] for kind in KINDS)),
    "relations": Bend(families=tuple(f"{hop}_{kind}" for hop in HOPS[1:4] for kind in KINDS)),
    "counting": Bend(families=tuple(f"{hop}_count" for hop in HOPS[:4])),
}

SPLITS = ("train", "val", "test")


def split_bend(split: str) -> tuple[str, Bend]:
    """Return a split's name without its bend, and the bend.

    Raises:
        ValueError: if there is no such split, or no such bend.
    """
    base, dash, name = split.partition("-")
    if base not in SPLITS:
        raise ValueError(
            f"split={split!r}: must be one of {', '.join(SPLITS)}, or one of these with a bend, as in 'test-clutter'."
        )
    if not dash:
        return split, Bend()
    if name not in BENDS:
        raise ValueError(
            f"split={split!r} has the bend {name!r}: must be one of {', '.join(BENDS)}, as in 'test-clutter'."
        )
    return base, BENDS[name]


def decorate(scene: Scene, bend: Bend, rng: np.random.Generator) -> Scene:
    """Return the scene with what a bend adds to its image alone: specks beside the objects, a pattern on the ground."""
    specks: list[Speck] = []
    while len(specks) < bend.specks:
        x, y = rng.uniform(-HALF_WIDTH - 0.4, HALF_WIDTH + 0.4, 2)
        speck = Speck(
            shape=SHAPES[rng.integers(len(SHAPES))],
            color=SPECK_COLORS[rng.integers(len(SPECK_COLORS))],
            x=round(float(x), 4),
            y=round(float(y), 4),
            radius=round(float(rng.uniform(0.07, 0.13)), 4),
            rotation=round(float(rng.uniform(0, 360)), 2),
        )
        if all(math.hypot(o.x - x, o.y - y) > o.radius + 2 * speck.radius for o in scene.objects):
            specks.append(speck)
    ground = None
    if bend.texture:
        angle = rng.uniform(0, math.pi)
        first, second = (
            tuple(float(v) for v in (k * math.cos(a), k * math.sin(a), rng.uniform(0, 2 * math.pi)))
            for k, a in zip(rng.uniform(2.5, 5.5, 2), (angle, angle + math.pi / 2), strict=True)
        )
        ground = Ground(bend.texture, (first, second))  # type: ignore[arg-type]
    return replace(scene, specks=tuple(specks), ground=ground)


def changed_fields(bend: Bend) -> dict[str, Any]:
    """Return the fields of a bend that are not at their default, as they are read back from JSON."""
    plain = vars(Bend())
    return json.loads(json.dumps({name: value for name, value in vars(bend).items() if value != plain[name]}))
