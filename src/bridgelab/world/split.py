"""Which scenes a split of the world has."""

import zlib

import numpy as np

from bridgelab.world.bend import bend_of, dressed
from bridgelab.world.render import sample_visible_scene
from bridgelab.world.scene import Scene


def split_scene(split: str, seed: int, index: int, objects: tuple[int, int] = (3, 10)) -> Scene:
    """Scene `index` of a split, the same in every process.

    No two splits draw from the same stream, but for bends that leave the scenes alone: those dress the plain split's.
    """
    base, bend = bend_of(split)
    stream = split if bend.redraws else base
    scene = sample_visible_scene(
        np.random.default_rng([zlib.crc32(stream.encode()), seed, index]),
        objects=bend.objects or objects,
        sizes=bend.sizes,
        colors=bend.colors,
        shown=bend.shown,
        image_index=index,
    )
    return dressed(scene, bend, np.random.default_rng([zlib.crc32(f"dress {base}".encode()), seed, index]))
