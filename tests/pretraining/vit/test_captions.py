import numpy as np
import pytest
import torch

from bridgelab.pretraining.vit.captions import END, PAD, START, WORDS, caption_ids, word_weights
from bridgelab.pretraining.vit.scene_pool import FACTS, facts_of, pool_scene
from bridgelab.world.words import scene_words


def test_captions_name_each_object_once_in_the_words_of_the_scene():
    scenes = [pool_scene(5, k, (3, 6)) for k in range(8)]
    facts = np.stack([facts_of(s, 6) for s in scenes])
    counts = np.array([len(s.objects) for s in scenes])
    ids = caption_ids(facts, counts, np.random.default_rng(0).random((8, 6)))
    for scene, line in zip(scenes, ids.tolist(), strict=True):
        caption = line[1 : line.index(END)]
        assert line[0] == START
        assert set(line[line.index(END) + 1 :]) <= {PAD}
        words = [WORDS[k] for k in caption]
        phrases = [words[k : k + len(FACTS)] for k in range(0, len(words), len(FACTS))]
        assert sorted(" ".join([*p[2:], *p[:2]]) for p in phrases) == sorted(scene_words(scene))


def test_captions_name_objects_in_ascending_order():
    facts = facts_of(pool_scene(5, 0, (4, 4)), 4)[None]
    forth, back = (
        caption_ids(facts, np.array([4]), order[None]) for order in (np.arange(4.0), -np.arange(4.0))
    )
    objects = forth[0, 1:-1].reshape(4, -1)
    assert torch.equal(back[0, 1:-1].reshape(4, -1), objects.flip(0))


def test_a_word_weighs_what_its_kind_of_fact_does():
    weights = word_weights({"place": 0.2, "size": 1.5, "color": 1.0, "material": 0.7, "shape": 2.0})
    weight_of = {word: float(w) for word, w in zip(WORDS, weights, strict=True)}
    assert weight_of["c00"] == weight_of["r15"] == pytest.approx(0.2)
    assert (weight_of["small"], weight_of["red"], weight_of["</s>"]) == (1.5, 1.0, 1.0)
    assert weight_of["metal"] == pytest.approx(0.7)
    assert weight_of["cube"] == weight_of["cylinder"] == 2.0
