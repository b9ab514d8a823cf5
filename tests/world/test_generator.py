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
        "scenes": "b03551d5acab484b",
        "questions": "3b9d39c8c1dd9d8e",
        "captions": "7d73ee0800eca587",
    },
    "test-hidden": {
        "scenes": "bfa1bed835cdfc51",
        "questions": "d0641c69c968e365",
        "captions": "2c859f7604094927",
    },
    "test-clutter": {
        "scenes": "02b798a0482c9cd4",
        "questions": "d32c52878669fe52",
        "captions": "aa6bc95e15428b42",
    },
    "test-longer": {
        "scenes": "4793ab3c219168fa",
        "questions": "b48e18fc864d6ad5",
        "captions": "3ee9a7e8404dfb21",
    },
    "test-cogent_b": {
        "scenes": "4b1e9b30c2533fde",
        "questions": "4bea36c0c33e454a",
        "captions": "5a5f724a12909277",
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
