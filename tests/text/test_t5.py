import importlib.util

import pytest
import torch
from transformers import BertConfig, T5Config, T5ForConditionalGeneration

from bridgelab.pretrain.text import make_tokenizer
from bridgelab.text.t5 import T5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("t5")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, num_heads=4, d_ff=32, num_layers=2, feed_forward_proj="gated-gelu",
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_logits_are_transformers_own(folder):
    text = T5(str(folder))
    reference = T5ForConditionalGeneration.from_pretrained(folder).eval()
    ids, mask = text.tokenize(["what color is the red cube ?", "yes"])
    labels, _ = text.tokenize(["red", "no"])
    torch.testing.assert_close(
        text.model(inputs_embeds=text.embed(ids), attention_mask=mask, labels=labels).logits,
        reference(input_ids=ids, attention_mask=mask.long(), labels=labels).logits,
    )


def test_tokens_go_out_as_they_came_in(folder):
    text = T5(str(folder))
    ids, mask = text.tokenize(["a large red metal cube , a small blue rubber sphere .", "12"])
    assert ids.shape[1] % 8 == 0
    assert mask.sum(1).tolist() == [13, 2]
    assert text.decode(ids) == ["a large red metal cube , a small blue rubber sphere .", "12"]


def test_unknown_words(folder):
    text = T5(str(folder))
    assert text.unknown("what color is the zebra ? What".split()) == ["zebra", "What"]
    assert text.unknown([]) == []


def test_frozen_for_good(folder):
    text = T5(str(folder))
    text.train()
    assert not text.model.training
    assert not any(p.requires_grad for p in text.parameters())


def test_gradients_pass_through_to_the_prefix(folder):
    text = T5(str(folder))
    prefix = torch.randn(2, 3, text.dim, requires_grad=True)
    text.model(inputs_embeds=prefix, labels=torch.tensor([[5, 1], [6, 1]])).loss.backward()
    assert prefix.grad.abs().sum() > 0


def test_a_scene_in_words_is_its_words_and_filler(folder):
    text = T5(str(folder))
    scenes = [
        "large red metal cube c07 r13 . small blue rubber sphere c01 r02",
        "small red metal cube c00 r01",
    ]
    made = text.embed_words(scenes)
    weight, ids = text.model.shared.weight, text.tokenizer.convert_tokens_to_ids
    for row, scene in zip(made, scenes, strict=True):
        words = scene.split() + ["."] * (16 - len(scene.split()))
        torch.testing.assert_close(row, weight[ids(words)])
    assert text.embed_words(["", ""]).shape == (2, 0, text.dim)  # a bridge may caption with nothing


def test_fingerprint_follows_weights_and_settings(folder):
    text = T5(str(folder))
    before = text.fingerprint
    assert T5(str(folder)).fingerprint == before
    assert T5(str(folder), dtype="bfloat16").fingerprint != before
    with torch.no_grad():
        text.model.lm_head.weight[0, 0] += 1
    assert text.fingerprint != before


def test_float16_is_refused(folder):
    with pytest.raises(
        ValueError,
        match=r"text.dtype=float16: T5 overflows in float16\. Set text.dtype to float32 or bfloat16",
    ):
        T5(str(folder), dtype="float16")


def test_recomputed_activations_change_neither_output_nor_gradient(folder):
    found = []
    for checkpointing in (False, True):
        text = T5(str(folder), checkpointing=checkpointing)
        torch.manual_seed(0)
        prefix = torch.randn(2, 3, text.dim, requires_grad=True)
        saved = 0

        def count(tensor):
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            labels = torch.tensor([[5, 1], [6, 1]])
            loss = text.model(inputs_embeds=prefix, labels=labels, use_cache=False).loss
        loss.backward()
        found.append((loss.item(), prefix.grad, saved))
    (plain, gradient, kept), (again, recomputed, fewer) = found
    assert again == plain
    assert torch.equal(recomputed, gradient)
    assert fewer < kept / 2


def test_another_kind_of_model_is_named(tmp_path):
    BertConfig(vocab_size=10, hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"text.path=.* holds a model of the kind 'bert': it must be a T5"):
        T5(str(tmp_path))


@pytest.mark.parametrize(
    ("package", "options"), [("accelerate", {"device_map": "auto"}), ("bitsandbytes", {"eight_bit": True})]
)
def test_a_missing_package_is_named(folder, monkeypatch, package, options):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else there("json"))
    with pytest.raises(
        ValueError, match=rf"text\.{next(iter(options))} needs the package {package}.*pip install {package}"
    ):
        T5(str(folder), **options)


@pytest.mark.skipif(not importlib.util.find_spec("accelerate"), reason="accelerate is not installed")
def test_layers_on_devices_of_their_own(folder):
    spread = T5(
        str(folder), device_map={"shared": "cpu", "encoder": "cpu", "decoder": "cpu", "lm_head": "cpu"}
    )
    together = T5(str(folder))
    ids, mask = spread.tokenize(["what color is the red cube ?"])
    labels, _ = spread.tokenize(["red"])
    torch.testing.assert_close(
        spread.model(inputs_embeds=spread.embed(ids), attention_mask=mask, labels=labels).logits,
        together.model(inputs_embeds=together.embed(ids), attention_mask=mask, labels=labels).logits,
    )
    assert spread.fingerprint == together.fingerprint
