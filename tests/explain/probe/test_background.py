import numpy as np
import pytest

from bridgelab.explain.probe.background import object_patches, probe_background
from bridgelab.world.scene import ATTRIBUTES

COLORS = ATTRIBUTES["color"]


def scene_of(rng):
    """Return two objects in a grid of 4 × 4 patches of 5 pixels, one at the upper left, one at the lower right."""
    cover = np.full((20, 20), -1)
    cover[1:4, 1:4], cover[16:19, 16:19] = 0, 1
    objects = [
        {name: words[rng.integers(len(words))] for name, words in ATTRIBUTES.items()} for _ in range(2)
    ]
    return cover, objects


def planted_objects(images, seed, *, leaks):
    """Plant each object's color in its own patch and, if it leaks, in those beside it."""
    rng = np.random.default_rng(seed)
    covers, scenes = zip(*(scene_of(rng) for _ in range(images)), strict=True)
    patches = 0.1 * rng.normal(size=(images, 16, len(COLORS)))
    for k, objects in enumerate(scenes):
        for own, thing in zip(((0, 1, 4), (15, 14, 11)), objects, strict=True):
            patches[k, list(own if leaks else own[:1]), COLORS.index(thing["color"])] += 1
    return object_patches(patches, covers, scenes, (4, 4))


@pytest.mark.parametrize("leaks", [True, False])
def test_a_probe_finds_what_leaks_into_the_background(leaks):
    result = probe_background(planted_objects(150, 0, leaks=leaks), planted_objects(100, 1, leaks=leaks))
    assert result["own"]["color"].value > 0.98
    low, high = result["beside"]["color"].interval
    assert low > 0.98 if leaks else low < 1 / 8 + 0.08 and high < 0.35
    assert result["apart"]["color"].value < 0.35
    assert result["own"]["shape"].value < 0.55  # no patch carries shape
    for patch in ("own", "beside", "apart", "guessed"):
        assert set(result[patch]) == set(ATTRIBUTES)


def test_an_image_without_background_is_passed_over():
    cover, objects = scene_of(np.random.default_rng(0))
    full = np.zeros_like(cover)
    result = object_patches(np.zeros((2, 16, 3)), [full, cover], [objects, objects], (4, 4))
    assert result.image.tolist() == [1, 1]


def test_an_object_that_no_pixel_shows_is_passed_over():
    cover, objects = scene_of(np.random.default_rng(0))
    hidden = np.where(cover == 0, -1, cover)
    result = object_patches(np.arange(16.0).reshape(1, 16, 1), [hidden], [objects], (4, 4))
    assert result.image.tolist() == [0]
    assert result.features["own"].tolist() == [[15]]
