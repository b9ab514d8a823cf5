"""Scenes that no pre-training may draw: those of the built-in world's val and test splits, known by their hash."""

import hashlib
from functools import cache

from bridgelab.world.scene import Scene
from bridgelab.world.write import split_scene

SPLITS = {"val": 500, "test": 1000}  # as in conf/benchmark/world.yaml
WORLD_SEED = 0


def scene_hash(scene: Scene) -> str:
    """Hash of the objects and where they stand, in whatever order; the light is left out."""
    return hashlib.sha256(repr(sorted(map(repr, scene.objects))).encode()).hexdigest()


@cache
def held_out(objects: tuple[int, int] = (3, 10)) -> frozenset[str]:
    """Hashes of every val and test scene of the default world (drawing them takes some seconds, once)."""
    return frozenset(
        scene_hash(split_scene(split, WORLD_SEED, index, objects))
        for split, images in SPLITS.items()
        for index in range(images)
    )


def check(scene: Scene) -> Scene:
    """The scene itself.

    Raises:
        ValueError: if it is one of the val or test scenes.
    """
    if scene_hash(scene) in held_out():
        raise ValueError(
            f"Pre-training drew scene {scene_hash(scene)[:12]}, which the world's val or test split holds. "
            f"Give pre-training another seed."
        )
    return scene
