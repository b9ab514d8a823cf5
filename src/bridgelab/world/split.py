"""The scenes of a split of the world."""

import zlib

import numpy as np

from bridgelab.world.distribution_shift import decorate, split_bend
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.scene import Scene


def split_scene(split: str, seed: int, index: int, objects: tuple[int, int] = (3, 10)) -> Scene:
    """Return scene `index` of a split, the same in every process.

    No two splits draw from the same stream, except for bends that leave the scenes alone: these decorate the plain split's.
    """
    base, bend = split_bend(split)
    stream = split if bend.redraws_scenes else base
    scene = sample_visible_scene(
        np.random.default_rng([zlib.crc32(stream.encode()), seed, index]),
        objects=bend.objects or objects,
        sizes=bend.sizes,
        colors=bend.colors,
        shown=bend.shown,
        image_index=index,
    )
    return decorate(scene, bend, np.random.default_rng([zlib.crc32(f"dress {base}".encode()), seed, index]))
