"""The scenes of a split of the world."""

import zlib

import numpy as np

from bridgelab.world.distribution_shift import decorate, parse_split
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.scene import Scene


def split_scene(split: str, seed: int, index: int, objects: tuple[int, int] = (3, 10)) -> Scene:
    """Return scene `index` of a split, the same in every process.

    No two splits draw from the same stream, except for shifts that leave the scenes alone: these decorate the plain split's.
    """
    base, shift = parse_split(split)
    stream = split if shift.redraws_scenes else base
    scene = sample_visible_scene(
        np.random.default_rng([zlib.crc32(stream.encode()), seed, index]),
        objects=shift.objects or objects,
        sizes=shift.sizes,
        colors=shift.colors,
        shown=shift.shown,
        image_index=index,
    )
    return decorate(scene, shift, np.random.default_rng([zlib.crc32(f"dress {base}".encode()), seed, index]))
