from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_t5 import tiny_batch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from bridgelab.bridge.blind import Blind
from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.perceiver import PerceiverResampler
from bridgelab.bridge.perceiver_idefics2 import Idefics2Perceiver
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.words import Words
from bridgelab.model import BridgedModel, bf16_is_fast
from bridgelab.text.t5 import _checkpointed


@pytest.fixture
def batch(tiny_text):
    return tiny_batch(tiny_text)


@pytest.fixture
def model(tiny_text, batch):
    torch.manual_seed(1)
    model = BridgedModel(
        Linear(6, tiny_text.dim), tiny_text, mean=torch.arange(6.0), std=torch.arange(1.0, 7.0)
    )
    model.init_output_scale(batch)
    return model


def by_transformers(model, batch):
    """The same numbers, out of the parts that the design names, through T5ForConditionalGeneration itself."""
    standard = (batch["patches"] - torch.arange(6.0)) / torch.arange(1.0, 7.0)
    prefix = model.scale * model.bridge(standard)
    embedded = model.language.shared(batch["prompt"])
    mask = torch.cat([torch.ones(3, 5, dtype=torch.bool), batch["prompt_mask"]], 1)
    return {"inputs_embeds": torch.cat([prefix, embedded], 1), "attention_mask": mask}


def test_the_loss_is_transformers(model, batch):
    expected = model.language(**by_transformers(model, batch), labels=batch["labels"]).loss
    torch.testing.assert_close(model.loss(batch), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-5)


def test_the_bridges_gradient_is_transformers(model, batch):
    expected = model.language(**by_transformers(model, batch), labels=batch["labels"]).loss
    wanted = torch.autograd.grad(expected, list(model.bridge.parameters()))
    found = torch.autograd.grad(model.loss(batch), list(model.bridge.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_likelihood_is_the_sum_over_the_target(model, batch):
    for k in range(3):
        one = {name: tensor[k : k + 1] for name, tensor in batch.items()}
        whole = by_transformers(model, batch)
        out = model.language(**{n: t[k : k + 1] for n, t in whole.items()}, labels=one["labels"])
        expected = -out.loss * (one["labels"] != -100).sum()
        torch.testing.assert_close(model.likelihood(batch)[k], expected.detach(), atol=1e-4, rtol=1e-4)


def test_generation_is_transformers_greedy_search(model, batch):
    with torch.no_grad():
        expected = model.language.generate(
            **by_transformers(model, batch), max_new_tokens=6, do_sample=False, num_beams=1
        )
        hidden, mask, _ = model.encode(batch)
        ids = torch.zeros(3, 1, dtype=torch.long)
        for _ in range(6):  # and that is the likeliest token each time, until all have ended
            out = model.language(
                encoder_outputs=BaseModelOutput(hidden), attention_mask=mask, decoder_input_ids=ids
            )
            ids = torch.cat([ids, out.logits[:, -1].argmax(-1, keepdim=True)], 1)
    found = model.generate(batch, max_new_tokens=6)
    assert torch.equal(found, expected[:, 1:])
    for own, loop in zip(found.tolist(), ids[:, 1:].tolist(), strict=True):
        end = loop.index(1) + 1 if 1 in loop else len(loop)
        assert own[:end] == loop[:end]


def test_gradient_reaches_all_of_the_bridge_and_nothing_else(model, batch):
    model.train()
    model.loss(batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.bridge.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.language.parameters())
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "bridge.mm_projector.weight",
        "bridge.mm_projector.bias",
    ]


def test_training_mode_leaves_the_language_model_without_dropout(model, batch):
    model.train()
    assert model.bridge.training
    assert not any(module.training for module in model.language.modules())
    torch.testing.assert_close(model.loss(batch), model.loss(batch), atol=0, rtol=0)


def test_padding_changes_nothing(model, batch):
    longer = dict(batch)
    longer["prompt"] = torch.cat([batch["prompt"], torch.full((3, 8), 7)], 1)
    longer["prompt_mask"] = torch.cat([batch["prompt_mask"], torch.zeros(3, 8, dtype=torch.bool)], 1)
    torch.testing.assert_close(model.likelihood(longer), model.likelihood(batch), atol=1e-5, rtol=1e-5)


def test_at_init_a_bridges_output_has_the_size_of_word_embeddings(model, batch, tiny_text):
    rms = model.prefix(batch).square().mean().sqrt().item()
    assert rms == pytest.approx(tiny_text.embedding_rms, rel=1e-5)
    before = model.scale.clone()
    model.bridge.mm_projector.weight.data *= 3
    model.init_output_scale(batch)
    assert model.scale == before  # once


def test_words_pass_unscaled(tiny_text, batch):
    model = BridgedModel(
        Words(tiny_text.dim, tiny_text.dim, num_tokens=0), tiny_text, mean=torch.ones(6), std=torch.ones(6)
    )
    words = tiny_text.embed_words(["red cube", "blue sphere", "a"])
    torch.testing.assert_close(model.prefix(batch | {"patches": words}), words, atol=0, rtol=0)


def test_the_blind_floor_sees_nothing(tiny_text, batch):
    model = BridgedModel(
        Blind(1, tiny_text.dim, num_tokens=4), tiny_text, mean=torch.ones(6), std=torch.ones(6)
    )
    blank = batch | {"patches": torch.zeros(3, 1, 1)}
    model.init_output_scale(blank)
    assert model.prefix(blank).shape == (3, 4, tiny_text.dim)


@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
def test_the_scale_of_a_batch_in_parts_is_that_of_the_whole(tiny_text, batch, insert):
    """As a batch that does not fit into memory is trained on; the parts are of different size, and so are their prompts."""
    torch.manual_seed(1)
    whole, parts = (BridgedModel(Linear(6, tiny_text.dim), tiny_text, insert=insert) for _ in range(2))
    parts.bridge.load_state_dict(whole.bridge.state_dict())
    whole.init_output_scale(batch)
    parts.init_output_scale(*({name: x[rows] for name, x in batch.items()} for rows in ([0], [1, 2])))
    torch.testing.assert_close(parts.scale, whole.scale, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("capability", "pays"), [(7, False), (8, True), (9, True)])
def test_a_gpu_that_emulates_bf16_computes_in_float32(monkeypatch, capability, pays):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=capability))
    assert bf16_is_fast(torch.device("cuda", 0)) == pays


def test_bf16_is_near(tiny_text, batch, model):
    near = BridgedModel(
        model.bridge, tiny_text, mean=torch.arange(6.0), std=torch.arange(1.0, 7.0), precision="bf16"
    )
    near.scale.copy_(model.scale)
    torch.testing.assert_close(near.loss(batch), model.loss(batch), atol=0.03, rtol=0.03)


def test_bad_input(tiny_text, tiny_text_class, batch):
    with pytest.raises(
        ValueError, match=r"train\.precision='fp16' must be one of auto, fp32, bf16.*train\.precision=auto"
    ):
        BridgedModel(Linear(6, tiny_text.dim), tiny_text, precision="fp16")
    with pytest.raises(ValueError, match=r"float16.*overflow.*text\.dtype=bfloat16"):
        BridgedModel(Linear(6, 16), tiny_text_class(dtype=torch.float16))
    with pytest.raises(RuntimeError, match="call init_output_scale"):
        BridgedModel(Linear(6, tiny_text.dim), tiny_text).prefix(batch)
    dead = Linear(6, tiny_text.dim)
    nn.init.zeros_(dead.mm_projector.weight)
    nn.init.zeros_(dead.mm_projector.bias)
    with pytest.raises(ValueError, match="RMS of 0: it must be finite and above 0"):
        BridgedModel(dead, tiny_text).init_output_scale(batch)


QUERIES = {"num_queries": 2, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "make",
    [
        partial(PerceiverResampler, **QUERIES, conditioning="question"),
        partial(PerceiverResampler, **QUERIES, conditioning="mismatched"),
        partial(QFormer, **QUERIES, width=8, conditioning="question"),
        partial(Idefics2Perceiver, **QUERIES, num_kv_heads=1, head_dim=4, conditioning="question"),
    ],
)
def test_a_conditioned_bridge_reads_what_the_encoder_makes_of_the_question_alone(
    tiny_text_class, batch, make, dtype
):
    text = tiny_text_class(dtype=dtype)
    torch.manual_seed(2)
    bridge = make(6, text.dim)
    question, mask = text.tokenize(["describe", "what is it ?", "is there a red cube"])
    batch |= {"question": question, "question_mask": mask}
    model = BridgedModel(bridge, text)
    model.init_output_scale(batch)
    alone = model.language.encoder(input_ids=question, attention_mask=mask.long()).last_hidden_state.float()
    expected = model.scale * bridge(batch["patches"], alone, mask)
    torch.testing.assert_close(model.prefix(batch), expected, atol=1e-5, rtol=1e-5)
    assert model.generate(batch, max_new_tokens=2).shape == (3, 2)
    model.loss(batch).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in bridge.parameters())
    assert not any(p.requires_grad for p in model.language.parameters())


def inserted(tiny_text, batch, **choices):
    torch.manual_seed(1)
    model = BridgedModel(Linear(6, tiny_text.dim), tiny_text, insert="encoder_output", **choices)
    model.init_output_scale(batch)
    return model


def test_behind_the_encoder_the_decoder_attends_to_tokens_and_read_prompt(tiny_text, batch):
    model = inserted(tiny_text, batch)
    encoder, embedded = model.language.encoder, model.language.shared(batch["prompt"])
    read = encoder(inputs_embeds=embedded, attention_mask=batch["prompt_mask"]).last_hidden_state
    prefix = model.scale * model.bridge(batch["patches"])
    mask = torch.cat([torch.ones(3, 5, dtype=torch.bool), batch["prompt_mask"]], 1)
    expected = model.language(
        encoder_outputs=BaseModelOutput(torch.cat([prefix, read], 1)),
        attention_mask=mask,
        labels=batch["labels"],
    ).loss
    torch.testing.assert_close(model.loss(batch), expected, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad(expected, list(model.bridge.parameters()))
    found = torch.autograd.grad(model.loss(batch), list(model.bridge.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_behind_the_encoder_tokens_are_as_large_as_what_it_makes_of_words(tiny_text, batch):
    model = inserted(tiny_text, batch)
    embedded = model.language.shared(batch["prompt"])
    read = model.language.encoder(inputs_embeds=embedded, attention_mask=batch["prompt_mask"])
    real = read.last_hidden_state[batch["prompt_mask"]]
    assert model.prefix(batch).square().mean().sqrt().item() == pytest.approx(
        real.square().mean().sqrt().item(), rel=1e-4
    )


def test_words_are_always_read_by_the_encoder(tiny_text, batch):
    scenes = ["red cube .", "blue sphere a", "a cube there"]
    batch = batch | {"patches": tiny_text.embed_words(scenes)}
    before, behind = (
        BridgedModel(Words(tiny_text.dim, tiny_text.dim, num_tokens=0), tiny_text, insert=insert)
        for insert in ("encoder_input", "encoder_output")
    )
    torch.testing.assert_close(before.loss(batch), behind.loss(batch))
    # And a text in a bridge's place is read as words are, wherever that bridge's own tokens enter.
    model = inserted(tiny_text, batch | {"patches": torch.randn(3, 5, 6)})
    encoded = model.encode_words(scenes, batch)
    torch.testing.assert_close(model.likelihood(batch, encoded), before.likelihood(batch))


def test_an_unknown_place_to_insert_is_refused(tiny_text):
    with pytest.raises(ValueError, match="insert='decoder': must be one of encoder_input, encoder_output"):
        BridgedModel(Linear(6, tiny_text.dim), tiny_text, insert="decoder")


STACKS = ["encoder", "decoder"]


def between_layers(text, stack, batch, bridge=None, gates=0.0, **choices):
    """A model whose T5 reads a bridge's tokens between the layers of a stack, with all gates at one value."""
    torch.manual_seed(1)
    layers = len(getattr(text.model, stack).block)
    blocks = CrossAttentionLayers(text.dim, layers, stack=stack, every=1, num_heads=2, ffn_ratio=2)
    model = BridgedModel(
        bridge or Linear(6, text.dim), text, insert="cross_attention", cross_attention=blocks, **choices
    )
    with torch.no_grad():
        for block in blocks.blocks.values():
            block.alpha_cross_attn.fill_(gates)
            block.alpha_dense.fill_(gates)
    model.init_output_scale(batch)
    return model


def of_prompt_alone(model, batch):
    """What transformers' T5 makes of the prompt: logits, and greedy answers."""
    prompt = {"input_ids": batch["prompt"], "attention_mask": batch["prompt_mask"]}
    decoded = model._shift(batch["labels"])
    with torch.no_grad():
        logits = model.language(**prompt, decoder_input_ids=decoded, use_cache=False).logits
        ids = model.language.generate(**prompt, max_new_tokens=6, do_sample=False, num_beams=1)
    return logits, ids[:, 1:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stack", STACKS)
def test_closed_gates_leave_the_t5_as_it_is_bit_for_bit(tiny_text_class, batch, stack, dtype):
    text = tiny_text_class(dtype=dtype)
    model, before = between_layers(text, stack, batch), text.fingerprint
    model._frozen_encoder = None  # transformers' own encoder
    logits, ids = of_prompt_alone(model, batch)
    encoded = model.encode(batch)
    expected = F.cross_entropy(logits.float().transpose(1, 2), batch["labels"], reduction="none")
    assert torch.equal(model.log_probs(encoded, batch["labels"]), -expected)
    assert torch.equal(model.generate(batch, max_new_tokens=6), ids)
    assert text.fingerprint == before


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_closed_gates_leave_our_encoder_as_it_is_bit_for_bit(tiny_text, batch, stack, precision):
    model = between_layers(tiny_text, stack, batch, precision=precision)
    plain = model._frozen_encoder(tiny_text.embed(batch["prompt"]), batch["prompt_mask"])
    assert torch.equal(model.encode(batch).hidden, plain)
    assert torch.equal(model.encode(batch).mask, batch["prompt_mask"])


@pytest.mark.parametrize("stack", STACKS)
def test_with_open_gates_both_encoders_are_one(tiny_text, batch, stack):
    model = between_layers(tiny_text, stack, batch, gates=0.7)
    trained = [p for p in model.parameters() if p.requires_grad]
    ours = model.loss(batch)
    of_ours = torch.autograd.grad(ours, trained)
    model._frozen_encoder = None
    theirs = model.loss(batch)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for a, b in zip(of_ours, torch.autograd.grad(theirs, trained), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    # And the image matters.
    other = model.loss(batch | {"patches": batch["patches"].flip(0)})
    assert (other - ours).abs() > 1e-4


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("stack", STACKS)
def test_generation_with_a_cache_reads_the_image_at_each_step(tiny_text, batch, stack, beams):
    model = between_layers(tiny_text, stack, batch, gates=0.7)
    encoded = model.encode(batch)
    ids = model.generate(batch, max_new_tokens=5, num_beams=beams)
    if beams > 1:  # an example alone is answered as among others
        for k in range(3):
            one = {name: tensor[k : k + 1] for name, tensor in batch.items()}
            alone = model.generate(one, max_new_tokens=5, num_beams=beams)[0]
            real = alone[: alone.tolist().index(1) + 1 if 1 in alone else len(alone)]
            assert torch.equal(ids[k, : len(real)], real)
        return
    written = torch.full((3, 1), -100)
    for step in range(ids.shape[1]):  # without a cache, the likeliest token each time
        scores = torch.stack(
            [
                model.log_probs(encoded, torch.cat([written[:, 1:], torch.full((3, 1), word)], 1))[:, -1]
                for word in range(tiny_text.model.config.vocab_size)
            ]
        )
        written = torch.cat([written, scores.argmax(0)[:, None]], 1)
        live = (written[:, 1:-1] != 1).all(1)
        assert torch.equal(ids[live, step], written[live, -1])


@pytest.mark.parametrize("stack", STACKS)
def test_bridge_and_blocks_are_trained_and_nothing_else(tiny_text, batch, stack):
    model = between_layers(tiny_text, stack, batch, gates=0.5).train()
    model.loss(batch).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"bridge", "cross_attention"}
    for p in trained.values():
        assert p.grad.isfinite().all()
        assert p.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.language.parameters())
    # At init all have a gradient too, as distributed training demands; the gates' alone is not zero.
    model = between_layers(tiny_text, stack, batch)
    model.loss(batch).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert (p.grad != 0).any() == ("alpha" in name)


@pytest.mark.parametrize("stack", STACKS)
def test_activations_that_are_computed_again_are_the_same(tiny_text, batch, stack):
    model = between_layers(tiny_text, stack, batch, gates=0.5)
    model._frozen_encoder = None
    trained = [p for p in model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(model.loss(batch), trained)
    for block in (*tiny_text.model.encoder.block, *tiny_text.model.decoder.block):
        block.forward = partial(_checkpointed, block.forward)  # as text.checkpointing does
    ids = model.generate(batch, max_new_tokens=4)
    for a, b in zip(torch.autograd.grad(model.loss(batch), trained), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-5)
    assert ids.shape[1] >= 1


def test_a_t5_with_a_map_of_devices_reads_between_layers_too(tiny_text, batch):
    expected = between_layers(tiny_text, "encoder", batch, gates=0.5).loss(batch)
    tiny_text.placed = True
    model = between_layers(tiny_text, "encoder", batch, gates=0.5)
    assert {name for name, _ in model.named_children()} == {"bridge", "cross_attention"}
    torch.testing.assert_close(model.loss(batch), expected)


def test_tokens_read_between_layers_have_an_rms_of_one(tiny_text, batch):
    for bridge in (Linear(6, tiny_text.dim), PerceiverResampler(6, 16, num_queries=2, depth=1, num_heads=2)):
        model = between_layers(tiny_text, "encoder", batch, bridge)
        assert model.prefix(batch).square().mean().sqrt().item() == pytest.approx(1, rel=1e-5)


def test_the_floor_has_the_same_blocks_and_the_ceiling_none(tiny_text, batch):
    blank = batch | {"patches": torch.zeros(3, 1, 1)}
    blind = between_layers(tiny_text, "encoder", blank, Blind(1, tiny_text.dim, num_tokens=4), gates=0.5)
    blind.loss(blank).backward()
    assert all(p.grad.abs().sum() > 0 for p in blind.parameters() if p.requires_grad)
    scenes = ["red cube .", "blue sphere a", "a cube there"]
    words = batch | {"patches": tiny_text.embed_words(scenes)}
    plain, between = (
        BridgedModel(Words(tiny_text.dim, tiny_text.dim, num_tokens=0), tiny_text, insert=insert)
        for insert in ("encoder_input", "cross_attention")
    )
    assert torch.equal(plain.loss(words), between.loss(words))
    # A bridge's own caption is read as words are: by the T5 without blocks.
    model = between_layers(tiny_text, "encoder", batch, gates=0.5)
    found = model.likelihood(batch, model.encode_words(scenes, batch))
    torch.testing.assert_close(found, plain.likelihood(words))


def test_blocks_and_their_insert_go_together(tiny_text):
    blocks = CrossAttentionLayers(tiny_text.dim, 1, stack="decoder", every=1, num_heads=2, ffn_ratio=2)
    for insert, given in (("cross_attention", None), ("encoder_input", blocks)):
        with pytest.raises(
            ValueError, match=rf"insert='{insert}' and cross_attention=.*Give both or neither"
        ):
            BridgedModel(Linear(6, tiny_text.dim), tiny_text, insert=insert, cross_attention=given)


def test_positions_are_added_to_patches_and_learned(tiny_text, batch):
    torch.manual_seed(1)
    model = BridgedModel(
        Linear(6, tiny_text.dim),
        tiny_text,
        mean=torch.ones(6),
        std=torch.full((6,), 2.0),
        positions=(5, 6),
    )
    model.init_output_scale(batch)
    with torch.no_grad():
        model.positions.copy_(torch.randn(5, 6))
    expected = model.scale * model.bridge((batch["patches"] - 1) / 2 + model.positions)
    torch.testing.assert_close(model.prefix(batch), expected)
    model.loss(batch).backward()
    assert model.positions.grad.abs().sum() > 0
    assert "positions" in model.state_dict()
    with pytest.raises(ValueError, match="4 patches, but positions for 5"):
        model.prefix(batch | {"patches": batch["patches"][:, :4]})


def test_what_sees_no_image_has_no_positions(tiny_text):
    assert BridgedModel(Blind(1, tiny_text.dim, num_tokens=4), tiny_text, positions=(5, 1)).positions is None
