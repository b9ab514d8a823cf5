"""Rendered scenes for pre-training, kept on disk in shards and read as memory maps.

Scene i of a pool is drawn from `default_rng([KEY, seed, i])`: a key of its own, so that no split of a written
world shares its random numbers, and any shard can be rendered alone, in any process, with the same bytes.
"""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bridgelab.atomic import atomic_path
from bridgelab.world.held_out import check
from bridgelab.world.render import render, sample_visible_scene
from bridgelab.world.scene import ATTRIBUTES, Scene
from bridgelab.world.words import COLUMNS, ROWS, column, row

KEY = 7  # pre-training scenes; written worlds use another
SHARD = 1000
FACTS = (COLUMNS, ROWS, *ATTRIBUTES.values())  # the words of an object, in the order of a caption


@dataclass(frozen=True)
class Pool:
    """Images uint8 [scene, size, size, 3], facts int8 [scene, object, fact] (-1: none), counts [scene]."""

    images: list[np.ndarray]
    facts: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the images of some scenes, uint8 [len(index), size, size, 3]."""
        return np.stack([self.images[i // SHARD][i % SHARD] for i in index])


def pool_scene(seed: int, index: int, objects: tuple[int, int]) -> Scene:
    """Return scene `index` of the pool of that seed."""
    rng = np.random.default_rng([KEY, seed, index])
    return check(sample_visible_scene(rng, objects=objects, image_index=index))


def facts_of(scene: Scene, most: int) -> np.ndarray:
    """Return int8 [most, fact]: for each object the index of each of its words in `FACTS`; -1 beyond the last."""
    facts = np.full((most, len(FACTS)), -1, np.int8)
    for line, thing in zip(facts, scene.objects, strict=False):
        words = column(thing.x), row(thing.y), *(getattr(thing, name) for name in ATTRIBUTES)
        line[:] = [fact.index(word) for fact, word in zip(FACTS, words, strict=True)]
    return facts


def open_pool(
    folder: Path, *, scenes: int, seed: int, size: int, objects: tuple[int, int], workers: int | None = None
) -> Pool:
    """Read the pool in `folder`; render the missing shards first.

    Args:
        folder: of the pool.
        scenes: number of scenes, rounded up to whole shards of `SHARD`.
        seed: of the scenes.
        size: pixels a side.
        objects: the least and the most objects of a scene.
        workers: processes that render; None for one per core.
    Raises:
        ValueError: if `folder` holds a pool of another seed, size, range of objects or renderer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"key": KEY, "seed": seed, "size": size, "objects": list(objects), "shard": SHARD}
    wanted["renderer"] = _renderer(seed, size, objects)
    note = folder / "pool.json"
    if note.exists():
        existing = json.loads(note.read_text())
        if existing != wanted:
            raise ValueError(
                f"{folder} holds the pool {existing}, not {wanted}. Remove it, or name another folder."
            )
    else:
        note.write_text(json.dumps(wanted))
    shards = range(-(-scenes // SHARD))
    jobs = [(folder, k, seed, size, objects) for k in shards if not (folder / f"facts-{k:04d}.npy").exists()]
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            _render_shard(job)
            print(f"pool: shard {job[1] + 1} of {len(shards)} rendered", flush=True)
    elif jobs:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
            for k, _ in enumerate(processes.map(_render_shard, jobs)):
                print(f"pool: {k + 1} of {len(jobs)} shards rendered", flush=True)
    images = [np.load(folder / f"images-{k:04d}.npy", mmap_mode="r") for k in shards]
    facts = np.concatenate([np.load(folder / f"facts-{k:04d}.npy") for k in shards])
    return Pool(images, facts, (facts[:, :, 0] >= 0).sum(1))


def _renderer(seed: int, size: int, objects: tuple[int, int]) -> str:
    """Return a digest of the pool's first images, which changes with the renderer."""
    digest = hashlib.sha256()
    for index in range(4):
        digest.update(render(pool_scene(seed, index, objects), size).tobytes())
    return digest.hexdigest()[:16]


def _render_shard(job: tuple[Path, int, int, int, tuple[int, int]]) -> None:
    folder, shard, seed, size, objects = job
    scenes = [pool_scene(seed, shard * SHARD + i, objects) for i in range(SHARD)]
    _save(folder / f"images-{shard:04d}.npy", np.stack([render(s, size) for s in scenes]))
    # The facts come last: a shard without them was interrupted, and is rendered again.
    _save(folder / f"facts-{shard:04d}.npy", np.stack([facts_of(s, objects[1]) for s in scenes]))


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as partial, partial.open("wb") as out:
        np.save(out, array)
