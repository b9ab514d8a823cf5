"""`write.GENERATOR` goes up when a seed gives other scenes, questions or captions: these digests hold it to its word."""

import hashlib
import json

import pytest

from bridgelab.world.render import object_mask, render
from bridgelab.world.split import split_scene
from bridgelab.world.write import GENERATOR, write_world

SPLITS = ("train", "val-many", "test-hidden", "test-clutter", "test-longer", "test-cogent_b")

# The first 16 hex digits of SHA-256.
TEXTS = {
    "train": {"scenes": "7b7cf92292795be4", "questions": "4cddd4b85e0474c6", "captions": "edfd9f6e27cb8173"},
    "val-many": {
        "scenes": "f54fdb2569390835",
        "questions": "988ff79d2a2da81b",
        "captions": "cdafbfd7243693ab",
    },
    "test-hidden": {
        "scenes": "664031bf1e575c7d",
        "questions": "7df31df4b37a4880",
        "captions": "075a06e12e9d638a",
    },
    "test-clutter": {
        "scenes": "8ad65d6669de04d7",
        "questions": "cd9c4627147f90b2",
        "captions": "7be1ca507bbcbd2d",
    },
    "test-longer": {
        "scenes": "32546cbf576ce8df",
        "questions": "c6f1d11794fd8e23",
        "captions": "dcd166fd68e98edd",
    },
    "test-cogent_b": {
        "scenes": "06c9746e1f770424",
        "questions": "06b0745874dacd4c",
        "captions": "64b2a6ce4504395c",
    },
}
BRIGHTNESS = {  # mean pixel of three images in 96 x 96, and how many of their pixels show an object
    "train": ([158.41, 154.15, 157.25], [549, 797, 592]),
    "val-many": ([148.08, 155.86, 144.99], [1498, 933, 1852]),
    "test-hidden": ([149.46, 144.26, 148.52], [1306, 1647, 1496]),
    "test-clutter": ([152.82, 152.92, 157.38], [976, 708, 530]),
    "test-longer": ([153.86, 155.6, 159.33], [976, 708, 530]),
    "test-cogent_b": ([149.12, 153.22, 159.05], [1319, 1471, 412]),
}


def sha(*chunks):
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("world")
    for split in SPLITS:
        write_world(out, split, 30, seed=11, size=24)
    return out


@pytest.mark.parametrize("split", SPLITS)
def test_texts_of_a_seed_are_those_of_this_generator(folder, split):
    """Every scene, question, program, answer and caption of 30 images."""
    assert GENERATOR == 5
    texts = {}
    for kind in ("scenes", "questions", "captions"):
        content = json.loads((folder / kind / f"CLEVR_{split}_{kind}.json").read_text())
        texts[kind] = sha(json.dumps(content, sort_keys=True).encode())
    assert texts == TEXTS[split]


@pytest.mark.parametrize("split", SPLITS)
def test_images_of_a_seed_are_those_of_this_generator(split):
    """Not by digests: another libm may round a sine differently."""
    means, areas = BRIGHTNESS[split]
    scenes = [split_scene(split, 11, index) for index in range(3)]
    assert [render(scene, 96).mean() for scene in scenes] == pytest.approx(means, abs=0.02)
    assert [(object_mask(scene, 96) >= 0).sum() for scene in scenes] == pytest.approx(areas, abs=2)
