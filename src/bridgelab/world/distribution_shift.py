"""Distribution shifts of the world. Each changes one thing about a split's scenes, images or questions.

A split is named `test`, or `test-clutter` for the same split with a shift of `SHIFTS`. A shift that leaves the scenes alone keeps
the objects of the plain split, image by image. It also keeps the questions, if it leaves those alone too. A model can then be
compared with itself on pairs that differ in nothing else.
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
class Shift:
    """The changes that a shift makes; by default none.

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
        return (self.objects, self.sizes, self.colors, self.shown) != (None, SIZES, None, Shift.shown)


SHIFTS: dict[str, Shift] = {
    "many": Shift(objects=(11, 16)),
    "small": Shift(sizes=("small",)),
    "large": Shift(sizes=("large",), objects=(3, 8)),
    "hidden": Shift(shown=(0.15, 0.5)),
    "cogent_a": Shift(colors={"cube": _CUBES, "cylinder": _CYLINDERS}),
    "cogent_b": Shift(colors={"cube": _CYLINDERS, "cylinder": _CUBES}),
    "specks": Shift(specks=24),
    "texture": Shift(texture=0.5),
    "clutter": Shift(specks=24, texture=0.5),
    "fine": Shift(pixels=2.0),
    "coarse": Shift(pixels=0.5),
    "longer": Shift(families=tuple(f"{hop}_{kind}" for hop in HOPS[4:] for kind in KINDS)),
    "relations": Shift(families=tuple(f"{hop}_{kind}" for hop in HOPS[1:4] for kind in KINDS)),
    "counting": Shift(families=tuple(f"{hop}_count" for hop in HOPS[:4])),
}

SPLITS = ("train", "val", "test")


def parse_split(split: str) -> tuple[str, Shift]:
    """Return a split's name without its shift, and the shift.

    Raises:
        ValueError: if there is no such split, or no such shift.
    """
    base, dash, name = split.partition("-")
    if base not in SPLITS:
        raise ValueError(
            f"split={split!r}: must be one of {', '.join(SPLITS)}, or one of these with a shift, as in 'test-clutter'."
        )
    if not dash:
        return split, Shift()
    if name not in SHIFTS:
        raise ValueError(
            f"split={split!r} has the shift {name!r}: must be one of {', '.join(SHIFTS)}, as in 'test-clutter'."
        )
    return base, SHIFTS[name]


def decorate(scene: Scene, shift: Shift, rng: np.random.Generator) -> Scene:
    """Return the scene with what a shift adds to its image alone: specks around the objects and a pattern on the ground."""
    specks: list[Speck] = []
    while len(specks) < shift.specks:
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
    if shift.texture:
        angle = rng.uniform(0, math.pi)
        first, second = (
            tuple(float(v) for v in (k * math.cos(a), k * math.sin(a), rng.uniform(0, 2 * math.pi)))
            for k, a in zip(rng.uniform(2.5, 5.5, 2), (angle, angle + math.pi / 2), strict=True)
        )
        ground = Ground(shift.texture, (first, second))  # type: ignore[arg-type]
    return replace(scene, specks=tuple(specks), ground=ground)


def changed_fields(shift: Shift) -> dict[str, Any]:
    """Return the fields of a shift that are not at their default, as they are read back from JSON."""
    plain = vars(Shift())
    return json.loads(
        json.dumps({name: value for name, value in vars(shift).items() if value != plain[name]})
    )
