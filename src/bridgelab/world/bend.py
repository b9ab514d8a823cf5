"""Bends of the world: one thing about a split's scenes, pictures or questions that training did not prepare for.

A split is named `test`, or `test-clutter` for the same with a bend of `BENDS`. A bend that leaves the scenes alone keeps
those of the plain split (the same objects, image by image; and the same questions, if it leaves those alone too), so that
a model can be compared with itself on pairs that differ in nothing else.
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
    """What is different; the default is nothing.

    Args:
        objects: the least and the most objects of a scene, instead of the world's own.
        sizes: that objects have.
        colors: that objects of a shape have; all, for a shape that is left out.
        shown: how much is seen of the most hidden object, at least and at most, as a share of what it would show alone.
        specks: tiny bright things on the ground that no question and no caption speaks of.
        texture: contrast of the ground's pattern, 0 to 1.
        pixels: the image's side, as a multiple of the world's.
        families: of questions, instead of `families.FAMILIES`.
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
    def redraws(self) -> bool:
        """Whether scenes are others than the plain split's."""
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


def bend_of(split: str) -> tuple[str, Bend]:
    """A split's name without its bend, and the bend.

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
            f"split={split!r} asks for the bend {name!r}: must be one of {', '.join(BENDS)}, as in 'test-clutter'."
        )
    return base, BENDS[name]


def dressed(scene: Scene, bend: Bend, rng: np.random.Generator) -> Scene:
    """The scene with what a bend puts there for the eye alone: specks beside the objects, a pattern on the ground."""
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
        turn = rng.uniform(0, math.pi)
        first, second = (
            tuple(float(v) for v in (k * math.cos(angle), k * math.sin(angle), rng.uniform(0, 2 * math.pi)))
            for k, angle in zip(rng.uniform(2.5, 5.5, 2), (turn, turn + math.pi / 2), strict=True)
        )
        ground = Ground(bend.texture, (first, second))  # type: ignore[arg-type]
    return replace(scene, specks=tuple(specks), ground=ground)


def changes(bend: Bend) -> dict[str, Any]:
    """The knobs of a bend that are not at their default, as they are read back from JSON."""
    plain = vars(Bend())
    return json.loads(json.dumps({name: value for name, value in vars(bend).items() if value != plain[name]}))
