"""Pre-training of the miniature ViT: captions, exact resume, the probes against a known truth."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.vision import (
    END,
    PAD,
    START,
    WORDS,
    batches,
    build,
    caption_ids,
    rate,
    retrieval,
    train,
    word_weights,
)
from bridgelab.pretraining.vit import probe as probes
from bridgelab.pretraining.vit import scene_pool as pool_module
from bridgelab.pretraining.vit.scene_pool import FACTS, facts_of, open_pool, pool_scene
from bridgelab.vision.openclip import OpenClipVision
from bridgelab.world.render import render
from bridgelab.world.words import scene_words


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "SHARD", 12)
    return {
        "out": str(tmp_path / "run"), "seed": 3, "device": "cpu", "threads": 1, "scenes": 24,
        "objects": [3, 5], "workers": 1, "images": 24, "batch": {"cpu": 4, "cuda": 4},
        "lr": {"cpu": 1e-3, "cuda": 1e-3}, "muon": 6.0,
        "warmup": 2, "decay": 0.5, "clip": 1.0, "contrastive": 0.1,
        "words": {"place": 0.2, "size": 1.0, "color": 1.0, "material": 1.0, "shape": 2.0}, "decoder_mlp": False, "start": None, "dtype": "float32",
        "log_every": 1, "save_every": 2, "probe_every": 0, "probe": {"fit": 30, "test": 12, "seed": 1},
        "model": {
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": 24, "patch_size": 12, "width": 32, "layers": 2, "head_width": 16,
                "output_tokens": True,
            },
            "text_cfg": {"width": 32, "heads": 2, "layers": 1, "embed_cls": True, "output_tokens": True},
            "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1},
        },
        "preprocess": {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic"},
    }  # fmt: skip


def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(config, tmp_path):
    whole = train(config)
    again = {**config, "out": str(tmp_path / "again")}
    assert train(again, stop_after=3) is None
    assert train(again, stop_after=1) is None
    stopped = train(again)
    first, second = load_file(whole), load_file(stopped)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    lines = (tmp_path / "again" / "losses.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[0]) for line in lines] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "again" / "losses.png").stat().st_size > 0


def test_the_end_of_a_run_is_a_vision_side_and_a_card(config, tmp_path):
    weights = train(config)
    vision = OpenClipVision(weights=str(weights))
    assert vision.dim == 32
    assert vision.grid == (2, 2)
    assert {v.dtype for v in load_file(weights).values()} == {torch.bfloat16}
    card = json.loads((tmp_path / "run" / "vision_card.json").read_text())
    assert card["images_seen"] == 24
    assert card["probe"]["centre"]["color"]["all"]["objects"] > 30
    assert card["retrieval"]["scenes"] == 12
    assert "Zero-shot retrieval among 12 scenes" in write_page(tmp_path / "run").read_text()


@pytest.mark.parametrize(("turned", "found"), [(0, 1.0), (1, 0.0)])
def test_retrieval_counts_who_finds_its_own(config, turned, found):
    """A model whose image features are those of its own caption, or of the caption before it."""

    def model(x, ids):
        said = torch.nn.functional.one_hot(ids, len(WORDS)).flatten(1).float()
        said = said / said.norm(dim=1, keepdim=True)
        return {"image_features": said.roll(turned, 0), "text_features": said}

    run = SimpleNamespace(cfg=config, model=model, batch=12, device="cpu")
    assert retrieval(run, 12) == {"scenes": 12, "image_to_caption": found, "caption_to_image": found}


def test_another_recipe_does_not_go_on_from_the_checkpoint(config):
    train(config, stop_after=1)
    with pytest.raises(ValueError, match=r"another recipe.*out="):
        train({**config, "contrastive": 0.2})


def test_a_run_may_be_made_longer_until_the_rate_falls(config):
    train(config, stop_after=2)
    train({**config, "images": 32}, stop_after=3)
    with pytest.raises(ValueError, match=r"step 5 of 8, this config has 6.*Set images=32"):
        train(config)


def test_another_pool_is_refused(config):
    train(config, stop_after=1)
    with pytest.raises(ValueError, match=r"holds the pool .*Remove it"):
        train({**config, "objects": [3, 4]})


@pytest.mark.parametrize("file", ["last.ckpt", "vision.safetensors"])
def test_a_run_may_begin_from_another_ones_weights(config, tmp_path, file):
    train({**config, "decoder_mlp": True})
    first = Path(config["out"]) / file
    begun = {**config, "out": str(tmp_path / "second"), "start": str(first), "lr": {"cpu": 0.0, "cuda": 0.0}}
    second = load_file(train(begun))
    held = load_file(Path(config["out"]) / "vision.safetensors")
    assert all(torch.equal(second[k], held[k]) for k in held)  # a learning rate of zero changed nothing


def test_words_are_linear_in_what_the_decoder_attends_to():
    model = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 24,
            "patch_size": 12,
            "width": 32,
            "layers": 1,
            "head_width": 16,
            "output_tokens": True,
        },
        "text_cfg": {"width": 32, "heads": 2, "layers": 1, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1},
    }
    x = torch.randn(2, 5, 32)
    assert sum(p.numel() for p in build(model, 3).parameters()) < sum(
        p.numel() for p in build(model, 3, decoder_mlp=True).parameters()
    )
    block = build(model, 3).text_decoder.cross_attn[0]
    assert torch.equal(block(x, x, x), x + block.attention(block.ln_1(x), block.ln_1_kv(x), block.ln_1_kv(x)))


def test_a_batch_larger_than_the_pool_is_refused(config):
    with pytest.raises(ValueError, match=r"batch=40 .* 24 scenes\. Lower batch\.cpu"):
        train({**config, "batch": {"cpu": 40, "cuda": 40}})


def test_captions_say_each_object_once_and_what_the_scene_in_words_says():
    scenes = [pool_scene(5, k, (3, 6)) for k in range(8)]
    facts = np.stack([facts_of(s, 6) for s in scenes])
    counts = np.array([len(s.objects) for s in scenes])
    ids = caption_ids(facts, counts, np.random.default_rng(0).random((8, 6)))
    for scene, line in zip(scenes, ids.tolist(), strict=True):
        said = line[1 : line.index(END)]
        assert line[0] == START
        assert set(line[line.index(END) + 1 :]) <= {PAD}
        words = [WORDS[k] for k in said]
        phrases = [words[k : k + len(FACTS)] for k in range(0, len(words), len(FACTS))]
        assert sorted(" ".join([*p[2:], *p[:2]]) for p in phrases) == sorted(scene_words(scene))


def test_the_order_of_a_caption_follows_the_numbers_given():
    facts = facts_of(pool_scene(5, 0, (4, 4)), 4)[None]
    forth, back = (
        caption_ids(facts, np.array([4]), order[None]) for order in (np.arange(4.0), -np.arange(4.0))
    )
    objects = forth[0, 1:-1].reshape(4, -1)
    assert torch.equal(back[0, 1:-1].reshape(4, -1), objects.flip(0))


def test_a_word_weighs_what_its_kind_of_fact_does():
    weights = word_weights({"place": 0.2, "size": 1.5, "color": 1.0, "material": 0.7, "shape": 2.0})
    found = {word: float(w) for word, w in zip(WORDS, weights, strict=True)}
    assert found["c00"] == found["r15"] == pytest.approx(0.2)
    assert (found["small"], found["red"], found["</s>"]) == (1.5, 1.0, 1.0)
    assert found["metal"] == pytest.approx(0.7)
    assert found["cube"] == found["cylinder"] == 2.0


def test_an_epoch_shows_each_scene_once():
    order = batches(np.random.default_rng(0).integers(3, 11, 103), 10, seed=0, epoch=2)
    assert order.shape == (10, 10)
    assert len(np.unique(order)) == 100
    assert not np.array_equal(
        order, batches(np.random.default_rng(0).integers(3, 11, 103), 10, seed=0, epoch=3)
    )


def test_the_rate_rises_stays_and_falls_to_nothing():
    rates = [rate(k, 100, 10, 0.5) for k in range(100)]
    assert max(rates) == 1.0
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[50:]) < 0)
    assert rates[-1] == pytest.approx(0.02)


def test_the_pool_holds_the_scenes_of_its_seed_whoever_renders_them(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "SHARD", 3)
    pool = open_pool(tmp_path, scenes=5, seed=9, size=24, objects=(3, 4), workers=1)
    assert len(pool) == 6
    assert np.array_equal(pool.take(np.array([4]))[0], render(pool_scene(9, 4, (3, 4)), 24))
    (tmp_path / "facts-0001.npy").unlink()  # as if it had been interrupted
    again = open_pool(tmp_path, scenes=5, seed=9, size=24, objects=(3, 4), workers=1)
    assert np.array_equal(pool.facts, again.facts)


def test_a_pool_of_another_renderer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "SHARD", 2)
    open_pool(tmp_path, scenes=2, seed=9, size=24, objects=(3, 4), workers=1)
    monkeypatch.setattr(pool_module, "render", lambda scene, size: render(scene, size) // 2)
    with pytest.raises(ValueError, match=r"holds the pool .*'renderer'.*Remove it"):
        open_pool(tmp_path, scenes=2, seed=9, size=24, objects=(3, 4), workers=1)


def test_ridge_solves_its_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)) * [1, 2, 3, 4, 5] + 2, rng.normal(size=(40, 2))
    (weights,) = probes.ridge(x, y, (3.0,))
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    expected = np.linalg.solve(z.T @ z + 3.0 * np.eye(5), z.T @ (y - y.mean(0)))
    np.testing.assert_allclose(probes.predict(weights, x), z @ expected + y.mean(0), atol=1e-10)


def _known(seed, noise):
    """Objects whose features are a linear code of the truth, plus noise."""
    rng = np.random.default_rng(seed)
    n = 900
    labels = {name: rng.integers(0, len(words), n) for name, words in probes.ATTRIBUTES.items()}
    position = rng.uniform(-3, 3, (n, 2))
    code = np.concatenate(
        [np.eye(len(w))[labels[k]] for k, w in probes.ATTRIBUTES.items()] + [position], axis=1
    )
    mix = np.random.default_rng(99).normal(size=(code.shape[1], 40))
    features = code @ mix + noise * rng.normal(size=(n, 40))
    return probes.Objects(
        {"centre": features}, labels, position, np.repeat(np.arange(n // 6), 6), rng.uniform(0.3, 1, n),
        labels["size"] == 0,
    )  # fmt: skip


def test_probes_read_what_is_there():
    found = probes.judge(_known(0, 0.05), _known(1, 0.05))["centre"]
    assert all(found[name]["all"]["value"] == 1.0 for name in probes.ATTRIBUTES)
    assert min(found["x"]["value"], found["y"]["value"]) > 0.99
    assert found["color"]["small"]["objects"] < found["color"]["all"]["objects"] == 900


def test_around_is_the_centre_with_its_neighbours_and_nothing_beyond_the_edge():
    class Numbered:
        grid, image_size = (4, 4), (24, 24)

        def patches(self, images):
            return torch.arange(1.0, 17).reshape(1, 16, 1).expand(len(images), -1, -1)

    found = probes.read_objects(Numbered(), probes.probe_scenes(3, range(20), (3, 5)))
    assert found.features["around"].shape == (len(found.image), 9)
    grid = np.zeros((6, 6))
    grid[1:5, 1:5] = np.arange(1, 17).reshape(4, 4)
    for centre, around in zip(found.features["centre"][:, 0], found.features["around"], strict=True):
        row, column = divmod(int(centre) - 1, 4)
        assert around.reshape(3, 3).tolist() == grid[row : row + 3, column : column + 3].tolist()


def test_probes_find_nothing_in_noise():
    found = probes.judge(_known(0, 1e4), _known(1, 1e4))["centre"]
    assert found["color"]["all"]["value"] == pytest.approx(1 / 8, abs=0.05)  # 4.5 standard errors
    assert abs(found["x"]["value"]) < 0.05


def test_intervals_take_the_objects_of_an_image_together():
    image = np.repeat(np.arange(50), 8)
    together = np.repeat(np.random.default_rng(0).integers(0, 2, 50), 8).astype(float)
    low, high = probes.share(together, image)["interval"]
    apart_low, apart_high = probes.share(together, np.arange(400))["interval"]
    assert high - low > 2 * (apart_high - apart_low)  # √8 as wide
