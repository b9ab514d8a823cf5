"""Hashes of the scenes that no training may draw: those of the default world's val and test, and the
first 500 of every shift of test.

Drawing them takes minutes, so `python -m bridgelab.world.held_out` writes their hashes to `assets/held_out.npy`.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from bridgelab.world.distribution_shift import SHIFTS
from bridgelab.world.scene import Scene
from bridgelab.world.split import split_scene

EVALUATED = ("val", "test")
# val and test as in conf/benchmark/world.yaml; a shift that keeps the plain scenes adds none.
SPLITS = {"val": 500, "test": 1000} | {
    f"test-{name}": 500 for name, shift in SHIFTS.items() if shift.redraws_scenes
}
WORLD_SEED = 0
HASHES = Path(__file__).resolve().parents[1] / "assets" / "held_out.npy"


def scene_hash(scene: Scene) -> int:
    """Return a 64-bit hash of the objects and their positions, in any order. The light does not count."""
    return int.from_bytes(hashlib.sha256(repr(sorted(map(repr, scene.objects))).encode()).digest()[:8], "big")


@cache
def held_out() -> frozenset[int]:
    """Return the hashes."""
    return frozenset(np.load(HASHES, allow_pickle=False).tolist())


def check(scene: Scene) -> Scene:
    """Return the scene itself.

    Raises:
        ValueError: if it is held out.
    """
    if scene_hash(scene) in held_out():
        raise ValueError(
            f"Scene {scene_hash(scene):016x} was drawn for training, but val, test or a shift of test holds it. "
            "Give training another seed."
        )
    return scene


def write() -> None:
    """Draw every held-out scene, and write the hashes."""
    hashes = [
        scene_hash(split_scene(split, WORLD_SEED, index)) for split, n in SPLITS.items() for index in range(n)
    ]
    np.save(HASHES, np.array(hashes, np.uint64), allow_pickle=False)


if __name__ == "__main__":
    write()
