import numpy as np
import pytest
import torch

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import Predicted
from bridgelab.explain import clutter as clutter_module
from bridgelab.explain.clutter import background, clutter, things
from bridgelab.world.scene import ATTRIBUTES

COLORS = ATTRIBUTES["color"]


def prepared(text, folder, prompt="what is it ?"):
    examples = [Example(f"q{k}", (f"/{folder}/{k}.png",), prompt, ("red",), "answer") for k in range(100)]
    rows = {e.images[0]: k for k, e in enumerate(examples)}
    return TokenizedExamples(examples, text, rows, lambda chosen: torch.zeros(len(chosen), 1, 1))


def test_what_clutter_costs_is_a_difference_of_pairs(tiny_text, monkeypatch):
    """Planted: 80 of 100 are right without, of which clutter costs each fourth."""

    def planted(model, questions, rows, *, batch_size, progress):
        bad = questions.examples[0].images[0].startswith("/cluttered")
        wrong = [k >= 80 or (bad and k % 4 == 0) for k in rows]
        progress(len(rows), len(rows))
        return [Predicted("blue" if no else "red", -2.0 if no else -1.0) for no in wrong]

    monkeypatch.setattr(clutter_module, "predict", planted)
    told = []
    found = clutter(
        None, prepared(tiny_text, "plain"), prepared(tiny_text, "cluttered"), Accuracy(), progress=told.append
    )
    assert (found.plain.value, found.cluttered.value) == pytest.approx((0.8, 0.6))
    assert found.cost.value == pytest.approx(0.2)
    assert found.likelihood_cost.value == pytest.approx(0.2)
    # Images of both belong together: the spread is that of the 20 pairs that differ.
    assert found.cost.contrast.error == pytest.approx(np.sqrt(0.2 * 0.8 / 99))
    assert told == [100, 200]
    with pytest.raises(ValueError, match="100 plain and 100 cluttered questions are not the same ones"):
        clutter(None, prepared(tiny_text, "plain"), prepared(tiny_text, "b", "is it red ?"), Accuracy())


def scene_of(rng):
    """Two objects in a grid of 4 × 4 patches of 5 pixels, one upper left, one lower right."""
    cover = np.full((20, 20), -1)
    cover[1:4, 1:4], cover[16:19, 16:19] = 0, 1
    objects = [
        {name: words[rng.integers(len(words))] for name, words in ATTRIBUTES.items()} for _ in range(2)
    ]
    return cover, objects


def planted_things(images, seed, *, leaks):
    """An object's color stands in its own patch; where it leaks, in those beside it too."""
    rng = np.random.default_rng(seed)
    covers, scenes = zip(*(scene_of(rng) for _ in range(images)), strict=True)
    patches = 0.1 * rng.normal(size=(images, 16, len(COLORS)))
    for k, objects in enumerate(scenes):
        for own, thing in zip(((0, 1, 4), (15, 14, 11)), objects, strict=True):
            patches[k, list(own if leaks else own[:1]), COLORS.index(thing["color"])] += 1
    return things(patches, covers, scenes, (4, 4))


@pytest.mark.parametrize("leaks", [True, False])
def test_a_probe_finds_what_leaks_into_the_background(leaks):
    found = background(planted_things(150, 0, leaks=leaks), planted_things(100, 1, leaks=leaks))
    assert found["own"]["color"].value > 0.98
    low, high = found["beside"]["color"].interval
    assert low > 0.98 if leaks else low < 1 / 8 + 0.08 and high < 0.35
    assert found["apart"]["color"].value < 0.35
    assert found["own"]["shape"].value < 0.55  # which no patch carries
    for patch in ("own", "beside", "apart", "guessed"):
        assert set(found[patch]) == set(ATTRIBUTES)


def test_an_image_without_background_is_passed_over():
    cover, objects = scene_of(np.random.default_rng(0))
    full = np.zeros_like(cover)
    found = things(np.zeros((2, 16, 3)), [full, cover], [objects, objects], (4, 4))
    assert found.image.tolist() == [1, 1]
