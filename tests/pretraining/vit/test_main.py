"""Pre-training of the miniature ViT: weights, card, exact resume."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.recipe import recipe_text, refuse_another_recipe
from bridgelab.pretraining.vit import scene_pool
from bridgelab.pretraining.vit.captions import WORDS
from bridgelab.pretraining.vit.evaluate import retrieval
from bridgelab.pretraining.vit.main import train
from bridgelab.vision.openclip import OpenClipVision


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_pool, "SHARD", 12)
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
    uninterrupted = train(config)
    again = {**config, "out": str(tmp_path / "again")}
    assert train(again, stop_after=3) is None
    assert train(again, stop_after=1) is None
    stopped = train(again)
    first, second = load_file(uninterrupted), load_file(stopped)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    lines = (tmp_path / "again" / "losses.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[0]) for line in lines] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "again" / "losses.png").stat().st_size > 0


def test_a_run_ends_with_a_vision_encoder_and_a_card(config, tmp_path):
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


@pytest.mark.parametrize(("shift", "share"), [(0, 1.0), (1, 0.0)])
def test_retrieval_counts_own_captions_and_own_images(config, shift, share):
    """A model whose image features are those of its own caption, or of the caption before it."""

    def model(x, ids):
        words = torch.nn.functional.one_hot(ids, len(WORDS)).flatten(1).float()
        words = words / words.norm(dim=1, keepdim=True)
        return {"image_features": words.roll(shift, 0), "text_features": words}

    run = SimpleNamespace(cfg=config, model=model, batch=12, device="cpu")
    assert retrieval(run, 12) == {"scenes": 12, "image_to_caption": share, "caption_to_image": share}


def test_another_recipe_does_not_go_on_from_the_checkpoint(config):
    train(config, stop_after=1)
    with pytest.raises(ValueError, match=r"another recipe.*: contrastive=0\.1, not 0\.2\. .*out="):
        train({**config, "contrastive": 0.2})
    saved, own = (recipe_text({"a": {"w": "x" * 80, "z": [1, size]}, "out": 1}, ("out",)) for size in (2, 3))
    with pytest.raises(ValueError, match=r"this config's: a\.z\.1=2, not 3\. "):
        refuse_another_recipe(Path("last.ckpt"), saved, own)


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
def test_a_run_may_start_from_the_weights_of_another(config, tmp_path, file):
    train({**config, "decoder_mlp": True})
    first = Path(config["out"]) / file
    started = {
        **config,
        "out": str(tmp_path / "second"),
        "start": str(first),
        "lr": {"cpu": 0.0, "cuda": 0.0},
    }
    second = load_file(train(started))
    exported = load_file(Path(config["out"]) / "vision.safetensors")
    # A learning rate of zero changed nothing.
    assert all(torch.equal(second[k], exported[k]) for k in exported)


def test_a_start_of_another_patch_size_sees_resized_patches_as_it_saw_them(config, tmp_path):
    first = load_file(train(config))
    larger = {
        **config["model"],
        "vision_cfg": {**config["model"]["vision_cfg"], "patch_size": 24, "image_size": 72},
    }
    start = {"start": str(Path(config["out"]) / "vision.safetensors"), "lr": {"cpu": 0.0, "cuda": 0.0}}
    second = load_file(train({**config, **start, "out": str(tmp_path / "second"), "model": larger}))
    kernel, resized = (w["visual.conv1.weight"].float() for w in (first, second))
    patch = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    twice = torch.nn.functional.interpolate(patch, size=(24, 24), mode="bicubic", antialias=True)
    seen, seen_again = (torch.einsum("bchw,dchw->d", x, w) for x, w in ((patch, kernel), (twice, resized)))
    torch.testing.assert_close(seen_again, seen, atol=0.02, rtol=0.02)  # weights are stored in bfloat16
    places, places_again = (w["visual.positional_embedding"] for w in (first, second))
    assert places_again.shape == (1 + 9, 32)
    assert torch.equal(places_again[0], places[0])


def test_patches_that_do_not_cover_the_image_are_refused_before_a_scene_is_rendered(config):
    model = config["model"] | {"vision_cfg": config["model"]["vision_cfg"] | {"patch_size": 10}}
    with pytest.raises(
        ValueError, match=r"image_size=24 is not a multiple of model\.vision_cfg\.patch_size=10"
    ):
        train({**config, "model": model})
    assert not Path(config["out"]).exists()


def test_a_batch_larger_than_the_pool_is_refused(config):
    with pytest.raises(ValueError, match=r"batch=40 .* 24 scenes\. Lower batch\.cpu"):
        train({**config, "batch": {"cpu": 40, "cuda": 40}})
