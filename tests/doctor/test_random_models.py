import json

import pytest
import torch
from huggingface_hub import constants
from omegaconf import OmegaConf

from bridgelab.doctor.random_models import (
    Layers,
    RandomText,
    RandomVision,
    filled,
    text_config,
    text_model,
    tokenizer,
    tower,
    weight_bytes,
)
from bridgelab.text.t5 import T5
from bridgelab.vision.openclip import OpenClipVision

CPU = torch.device("cpu")


def shapes(module):
    return {name: (tuple(p.shape), p.dtype) for name, p in module.state_dict().items()}


def test_the_miniature_in_shape_is_the_miniature_but_for_its_weights():
    config = text_config("miniature")
    text = RandomText(config, Layers(config.num_layers, config.num_decoder_layers), {"dtype": "float32"}, CPU)
    own = T5("miniature")
    assert shapes(text.model) == shapes(own.model)
    assert text.model.lm_head.weight is text.model.shared.weight
    assert not any(p.requires_grad for p in text.parameters())
    settings = {"layer": -2, "cls": True, "final_norm": False}
    shaped = RandomVision(tower(OmegaConf.create({"weights": "miniature"})), settings)
    vision = OpenClipVision(**settings)
    assert shapes(shaped.visual) == shapes(vision.visual)
    assert (shaped.dim, shaped.grid, shaped.layer) == (vision.dim, vision.grid, vision.layer)
    image = torch.zeros(2, 96, 96, 3, dtype=torch.uint8)
    assert shaped.on(CPU).patches(image).shape == vision.patches(image).shape


def test_layers_are_cut_and_put_back(shape):
    text = RandomText(shape, Layers(3, 2), {}, CPU)
    ids = torch.randint(2, 40, (2, 8))
    whole = text.model(input_ids=ids, labels=ids).logits
    text.truncate(Layers(1, 1))
    assert not torch.equal(text.model(input_ids=ids, labels=ids).logits, whole)
    text.truncate(Layers(3, 2))
    assert torch.equal(text.model(input_ids=ids, labels=ids).logits, whole)
    assert whole.isfinite().all()


def test_an_answer_is_as_long_as_it_is_asked_to_be(shape):
    text = RandomText(shape, Layers(1, 1), {}, CPU)
    with torch.no_grad():
        text.model.lm_head.weight[1] = 10 * text.model.lm_head.weight.abs().max()
    assert text.model.generate(torch.randint(2, 40, (2, 8)), max_new_tokens=6).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "dim", "grid"),
    [
        ("ViT-L-14", 1024, (16, 16)),
        ("ViT-SO400M-14-SigLIP-384", 1152, (27, 27)),
        ("EVA02-L-14-336", 1024, (24, 24)),
    ],
)
def test_towers_of_open_clip_take_no_memory(name, dim, grid):
    vision = RandomVision(tower(OmegaConf.create({"weights": name})), {"layer": -2, "final_norm": False})
    assert (vision.dim, vision.grid) == (dim, grid)
    assert all(p.is_meta for p in vision.visual.parameters())


def test_a_tower_at_another_size():
    given = {"weights": "ViT-B-16", "image_size": 336}
    assert RandomVision(tower(OmegaConf.create(given)), {}).grid == (21, 21)


def test_a_shape_comes_from_where_it_is_known(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert text_config("google/flan-t5-xl").d_model == 2048
    assert text_config("miniature_prose").num_layers == text_config("miniature").num_layers
    shape.save_pretrained(tmp_path / "own")
    assert text_config(str(tmp_path / "own")).num_layers == 7
    snapshot = tmp_path / "cache" / "models--some--t5" / "snapshots" / "commit"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("commit")
    shape.save_pretrained(snapshot)
    assert text_config("some/t5").num_layers == 7
    with pytest.raises(
        ValueError, match=r"text\.path=other/t5: its shape is not known.*hf download other/t5 config\.json"
    ):
        text_config("other/t5")
    (tmp_path / "own" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="of the kind 'bert': it must be a T5"):
        text_config(str(tmp_path / "own"))
    with pytest.raises(ValueError, match=r"vision\.weights='ViT-L-15' is not a model of open_clip"):
        tower(OmegaConf.create({"weights": "ViT-L-15"}))
    with pytest.raises(ValueError, match=r"hf download some/vit open_clip_config\.json"):
        tower(OmegaConf.create({"weights": "hf-hub:some/vit"}))


def test_a_tokenizer_is_the_t5s_own():
    own, shaped = T5("miniature"), tokenizer("miniature")
    for ours, theirs in zip(
        shaped.tokenize(["a red cube", "yes"]), own.tokenize(["a red cube", "yes"]), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_weights_are_counted_once(shape):
    c = shape
    layers = Layers(3, 2)
    model = text_model(c, torch.bfloat16, "eager", layers)
    attention, dense, norm = 4 * c.d_model * c.num_heads * c.d_kv, 3 * c.d_model * c.d_ff, c.d_model
    bias = c.relative_attention_num_buckets * c.num_heads
    encoder = 3 * (attention + dense + 2 * norm) + bias + norm
    decoder = 2 * (2 * attention + dense + 3 * norm) + bias + norm
    words = 2 * c.vocab_size * c.d_model  # read and written with different matrices
    assert weight_bytes(model) == 2 * (encoder + decoder + words)
    assert weight_bytes(text_model(c, torch.float32, "eager", layers)) == 2 * weight_bytes(model)
    c.own_head = False
    tied = text_model(c, torch.bfloat16, "eager", layers)
    assert weight_bytes(model) - weight_bytes(tied) == 2 * c.vocab_size * c.d_model


def test_weights_are_random_matrices_and_norms_of_one():
    model = torch.nn.Sequential(
        torch.nn.Linear(1500, 1000, device="meta"), torch.nn.LayerNorm(5, device="meta")
    )
    matrix, _, norm, _ = filled(model, CPU).parameters()
    assert matrix.std().item() == pytest.approx(0.02, rel=0.01)
    assert matrix.abs().min(1).values.max() < 0.01  # no row is left as it was found in memory
    assert (norm == 1).all()


def test_no_tokenizer_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert tokenizer("some/t5-that-is-not-here") is None


def test_a_model_of_other_depth_is_of_the_same_kind(shape):
    model = text_model(shape, torch.bfloat16, "eager", Layers(2, 1))
    assert (len(model.encoder.block), len(model.decoder.block)) == (2, 1)
    assert model.dtype == torch.bfloat16
    assert shape.num_layers == 7
