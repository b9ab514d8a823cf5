"""A T5 with LoRA against one whose matrices are merged by hand, and a soft prompt against concatenation by hand."""

import copy
import importlib.util
from functools import partial

import pytest
import torch
from tiny_t5 import tiny_batch
from transformers import T5Config, T5ForConditionalGeneration

from bridgelab.bridge.blind import Blind
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.qformer import QFormer
from bridgelab.model import BridgedModel
from bridgelab.optim.muon import Muon
from bridgelab.text.adapter import LORA, Adapter, build_adapter, soft_prompt, with_lora
from bridgelab.text.t5 import _checkpointed

RANK, ALPHA = 3, 6
EVERY = ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]


def lora(text, targets=("q", "v")):
    torch.manual_seed(3)
    return with_lora(text.model, RANK, ALPHA, list(targets))


def perturb(language):
    """Draw what starts at zero, as if it had been trained."""
    for name, parameter in language.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)


def merged(text, language):
    """A copy of the frozen T5 with W + (alpha / rank) B A in place of W."""
    weights = dict(language.named_parameters())
    result = copy.deepcopy(text.model)
    found = 0
    for name, weight in result.named_parameters():
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" in weights:
            a, b = (weights[f"{layer}.lora_{x}.default.weight"].detach() for x in "AB")
            assert (a.shape[0], b.shape[1]) == (RANK, RANK)
            for row in range(len(weight)):
                weight.data[row] += ALPHA / RANK * (b[row, :, None] * a).sum(0)
            found += 1
    return result, found


@pytest.fixture
def batch(tiny_text):
    batch = tiny_batch(tiny_text)
    return batch | {"question": batch["prompt"], "question_mask": batch["prompt_mask"]}


def bridged(text, batch, adapter=None, bridge=None, **choices):
    torch.manual_seed(1)
    model = BridgedModel(
        bridge or Linear(6, text.dim), text, **({"adapter": adapter} if adapter else {}), **choices
    )
    model.init_output_scale(batch)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [["q", "v"], EVERY])
def test_lora_starts_as_the_frozen_t5_bit_for_bit(tiny_text_class, dtype, targets):
    text = tiny_text_class(dtype=dtype)
    language = lora(text, targets)
    ids, mask = text.tokenize(["what is it ?", "is there a red cube"])
    given = {"input_ids": ids, "attention_mask": mask, "labels": ids}
    assert torch.equal(language(**given).logits, text.model(**given).logits)
    trained = {name: p for name, p in language.named_parameters() if p.requires_grad}
    assert all(LORA in name and p.dtype == torch.float32 for name, p in trained.items())
    matrices = [name for name, _ in text.model.named_modules() if name.rpartition(".")[2] in targets]
    assert len(trained) == 2 * len(matrices)


@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
@pytest.mark.parametrize("targets", [["q", "v"], EVERY])
def test_lora_is_the_merged_matrix(tiny_text, batch, insert, targets, monkeypatch):
    """Loss, gradient of the bridge and answers in float64."""
    tiny_text.model.double()
    language = lora(tiny_text, targets)
    perturb(language)
    model = bridged(tiny_text, batch, Adapter(language=language), insert=insert)
    plain = copy.copy(tiny_text)
    plain.model, found = merged(tiny_text, language)
    assert found == len(model.adapter_parameters) / 2 > 0
    expected = bridged(plain, batch, insert=insert)
    assert expected._frozen_encoder is None, "ours is in float32"
    expected.scale.copy_(model.scale)
    batch["patches"] = batch["patches"].double()
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    for one in (model, expected):
        one.double()
        one.loss(batch).backward()
    # T5's norms are in float32.
    torch.testing.assert_close(model.loss(batch), expected.loss(batch), rtol=1e-7, atol=1e-7)
    for a, b in zip(model.bridge.parameters(), expected.bridge.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)
    assert torch.equal(model.generate(batch, max_new_tokens=5), expected.generate(batch, max_new_tokens=5))


@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
def test_our_fast_encoder_does_not_stand_in_for_one_with_lora(tiny_text, batch, insert):
    """In float32, in which the frozen T5 is read by our encoder; only matrices of the encoder differ."""
    language = lora(tiny_text)
    for name, parameter in language.named_parameters():
        if ".lora_B." in name and name.startswith("encoder."):
            torch.nn.init.normal_(parameter, std=0.3)
    model = bridged(tiny_text, batch, Adapter(language=language), insert=insert)
    plain = copy.copy(tiny_text)
    plain.model, _ = merged(tiny_text, language)
    expected = bridged(plain, batch, insert=insert)
    frozen = bridged(tiny_text, batch, insert=insert)
    assert expected._frozen_encoder is not None
    expected.scale.copy_(model.scale)
    torch.testing.assert_close(model.loss(batch), expected.loss(batch), rtol=1e-5, atol=1e-5)
    assert (frozen.loss(batch) - expected.loss(batch)).abs() > 1e-3


def test_the_frozen_weights_are_shared_and_stay(tiny_text):
    before = tiny_text.fingerprint
    ids, mask = tiny_text.tokenize(["what is it ?"])
    frozen = tiny_text.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    first, second = lora(tiny_text), lora(tiny_text)
    perturb(first)
    own = dict(tiny_text.model.named_parameters())
    for language in (first, second):
        shared = {
            name.replace(".base_layer.", "."): p
            for name, p in language.named_parameters()
            if LORA not in name
        }
        assert shared.keys() == own.keys()
        assert all(shared[name] is own[name] and not p.requires_grad for name, p in own.items())
    outputs = [m.encoder(input_ids=ids, attention_mask=mask).last_hidden_state for m in (first, second)]
    assert not torch.allclose(outputs[0], frozen, atol=1e-3)
    assert torch.equal(outputs[1], frozen)
    assert tiny_text.fingerprint == before


@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
def test_a_soft_prompt_is_concatenated(tiny_text, batch, insert):
    torch.manual_seed(2)
    prompt = torch.nn.Parameter(torch.randn(4, tiny_text.dim))
    model = bridged(tiny_text, batch, Adapter(prompt=prompt), insert=insert)
    tokens, words = model.prefix(batch), tiny_text.embed(batch["prompt"])
    soft, ones = torch.stack([prompt] * 3), torch.ones(3, 4 + 5, dtype=torch.bool)
    before = [soft, tokens] if insert == "encoder_input" else [soft]
    embedded = torch.cat([*before, words], 1)
    mask = torch.cat([ones, batch["prompt_mask"]], 1)
    hidden = tiny_text.model.encoder(
        inputs_embeds=embedded, attention_mask=mask[:, -embedded.shape[1] :]
    ).last_hidden_state
    if insert == "encoder_output":
        hidden = torch.cat([tokens, hidden], 1)
    expected = tiny_text.model(encoder_outputs=(hidden,), attention_mask=mask, labels=batch["labels"]).loss
    torch.testing.assert_close(model.loss(batch), expected, atol=1e-5, rtol=1e-5)
    assert model.adapter_parameters == [prompt]
    read = model.encode_words(["red cube", "blue sphere", "a"], batch)
    assert read[0].shape[:2] == read[1].shape == (3, 4 + 8 + words.shape[1])


def test_a_soft_prompt_starts_like_that_of_the_blind_floor():
    torch.manual_seed(0)
    prompt = soft_prompt(40, 512)
    assert (prompt.shape, prompt.requires_grad) == ((40, 512), True)
    torch.manual_seed(0)
    assert torch.equal(prompt, Blind(1, 512, num_tokens=40).prompt)


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_a_conditioned_bridge_is_told_the_question_by_the_frozen_t5(tiny_text, batch, kind):
    torch.manual_seed(0)
    bridge = QFormer(6, tiny_text.dim, num_queries=3, depth=2, width=8, num_heads=2, conditioning="question")
    frozen = bridged(tiny_text, batch, bridge=bridge)
    adapter = build_adapter(
        {"adapt": kind, "prompt_tokens": 2, "lora": {"rank": 2, "alpha": 4, "targets": EVERY}},
        tiny_text.model,
    )
    model = bridged(tiny_text, batch, adapter, bridge=bridge)
    for parameter in model.adapter_parameters:
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(model.prefix(batch), frozen.prefix(batch))
    assert not torch.allclose(model.loss(batch), frozen.loss(batch))


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_gradient_reaches_bridge_and_adapter_and_nothing_else(tiny_text, batch, kind):
    adapter = build_adapter(
        {"adapt": kind, "prompt_tokens": 2, "lora": {"rank": 2, "alpha": 4, "targets": EVERY}},
        tiny_text.model,
    )
    model = bridged(tiny_text, batch, adapter).train()
    model.loss(batch).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in trained.values())  # as DDP demands of every step
    # B is zero at first.
    assert {name for name, p in trained.items() if not p.grad.any()} == {
        name for name in trained if ".lora_A." in name
    }
    if kind == "lora":
        perturb(adapter.language)
        model.zero_grad()
        model.loss(batch).backward()
        assert all(p.grad.any() for p in trained.values())
    assert all(p.grad is None for name, p in model.named_parameters() if name not in trained)
    assert len(model.adapter_parameters) == len(trained) - 2
    assert not any(module.training for module in model.language.modules())


def test_recomputed_activations_have_the_same_gradient(tiny_text, batch):
    language = lora(tiny_text)
    perturb(language)
    model = bridged(tiny_text, batch, Adapter(language=language))
    for block in (*tiny_text.model.encoder.block, *tiny_text.model.decoder.block):
        block.forward = partial(_checkpointed, block.forward)  # as `T5` with checkpointing
    again = bridged(tiny_text, batch, Adapter(language=lora(tiny_text)))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.loss(batch), model.loss(batch))
    gradients = [torch.autograd.grad(m.loss(batch), m.adapter_parameters) for m in (model, again)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_a_step_of_muon_moves_an_adapted_matrix_as_far_as_one_of_the_bridge():
    """From RMS to RMS, for widths, shapes and ranks of the T5s that there are."""
    for width, inner, rank in ((128, 192, 8), (512, 384, 4), (1024, 1024, 16)):
        torch.manual_seed(0)
        config = T5Config(
            vocab_size=8, d_model=width, d_kv=inner // 2, num_heads=2, d_ff=8, num_layers=1, num_decoder_layers=0
        )  # fmt: skip
        language = with_lora(T5ForConditionalGeneration(config), rank, None, ["q"])
        layer = language.encoder.block[0].layer[0].SelfAttention.q
        b, lr = layer.lora_B["default"].weight, 0.01
        frozen = layer(torch.eye(width)).detach()
        b.grad = torch.randn_like(b)
        Muon([b], lr=lr).step()
        moved = (layer(torch.eye(width)) - frozen).T
        norm = torch.linalg.matrix_norm(moved, 2).item() * (width / inner) ** 0.5
        assert 0.8 * lr < norm < 1.6 * lr


def test_bad_input(tiny_text, monkeypatch):
    with pytest.raises(
        ValueError,
        match=r"text\.lora\.targets has wi, and the matrices .* are q, k, v, o, wi_0, wi_1, wo\. Set",
    ):
        lora(tiny_text, ["q", "wi"])
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else there(name))
    with pytest.raises(ValueError, match=r"text\.adapt=lora needs the package peft.*Run: pip install peft"):
        lora(tiny_text)
