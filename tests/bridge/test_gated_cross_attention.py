import math

import pytest
import torch
from torch import nn
from transformers import IdeficsConfig
from transformers.models.idefics.modeling_idefics import IdeficsGatedCrossAttentionLayer

from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers, GatedCrossAttention, before_layers

DIM, HEADS = 12, 3
CHOICES = {"stack": "decoder", "every": 1, "num_heads": HEADS, "ffn_ratio": 2}


def opened(module, seed=0):
    """The module with gates and norms drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim == 1:
                p.copy_(torch.randn(p.shape, generator=generator))
    return module


@pytest.fixture
def block():
    torch.manual_seed(0)
    return opened(GatedCrossAttention(DIM, num_heads=HEADS, ffn_dim=20))


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(2, 4, DIM, requires_grad=True), torch.randn(2, 5, DIM, requires_grad=True)


def by_the_paper(block, hidden, tokens):
    """Flamingo's figure 4, one vector at a time, with Idefics' norm and FFN.

    y = y + tanh(alpha_xattn) attention(q=y, kv=x); y = y + tanh(alpha_dense) ffw(y).
    """
    weights = {name: p.detach().double() for name, p in block.named_parameters()}

    def norm(x, name):
        return weights[f"{name}.weight"] * x / torch.sqrt((x**2).sum() / len(x) + 1e-6)

    def linear(x, name):
        return weights[f"{name}.weight"] @ x

    size = DIM // HEADS
    out = torch.empty(hidden.shape, dtype=torch.float64)
    for b in range(len(hidden)):
        for position in range(hidden.shape[1]):
            y = hidden[b, position].double()
            query = linear(norm(y, "input_layernorm"), "cross_attn.q_proj")
            mixed = torch.zeros(DIM, dtype=torch.float64)
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                scores = [
                    torch.dot(query[part], linear(x.double(), "cross_attn.k_proj")[part]) / math.sqrt(size)
                    for x in tokens[b]
                ]
                shares = torch.stack([score.exp() for score in scores])
                for x, share in zip(tokens[b], shares / shares.sum(), strict=True):
                    mixed[part] += share * linear(x.double(), "cross_attn.v_proj")[part]
            y = y + torch.tanh(weights["alpha_cross_attn"]) * linear(mixed, "cross_attn.o_proj")
            x = norm(y, "post_attention_layernorm")
            gate = linear(x, "mlp.gate_proj")
            wide = gate / (1 + torch.exp(-gate)) * linear(x, "mlp.up_proj")
            out[b, position] = y + torch.tanh(weights["alpha_dense"]) * linear(wide, "mlp.down_proj")
    return out


def test_a_block_is_that_of_the_paper(block, inputs):
    hidden, tokens = inputs
    found = block(hidden, *block.cross_attn.keys_and_values(tokens))
    torch.testing.assert_close(found.double(), by_the_paper(block, hidden, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_block_is_that_of_idefics(block, inputs, attention):
    config = IdeficsConfig(
        hidden_size=DIM, num_attention_heads=HEADS, intermediate_size=20, hidden_act="silu", dropout=0.0,
        alpha_type="float", qk_layer_norms=False, vision_config={"embed_dim": DIM}, attn_implementation=attention,
    )  # fmt: skip
    theirs = IdeficsGatedCrossAttentionLayer(config, layer_idx=0)
    theirs.load_state_dict(block.state_dict())  # their names are ours
    hidden, tokens = inputs
    reads = {
        "image_attention_mask": torch.zeros(2, 1, 4, 5),  # without a mask their sdpa is causal
        "cross_attention_gate": torch.ones(2, 4),
    }
    expected = theirs(hidden, image_hidden_states=tokens, **reads)
    found = block(hidden, *block.cross_attn.keys_and_values(tokens))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    upstream = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [hidden, tokens, *theirs.parameters()], upstream)
    gradients = torch.autograd.grad(found, [hidden, tokens, *block.parameters()], upstream)
    names = [name for name, _ in theirs.named_parameters()]
    assert sorted(names) == sorted(name for name, _ in block.named_parameters())
    by_name = dict(zip(["h", "t", *(name for name, _ in block.named_parameters())], gradients, strict=True))
    for name, expected_gradient in zip(["h", "t", *names], wanted, strict=True):
        torch.testing.assert_close(by_name[name], expected_gradient, atol=1e-5, rtol=1e-4)


def test_closed_gates_pass_a_text_unchanged_and_learn(inputs):
    hidden, tokens = inputs
    block = GatedCrossAttention(DIM, num_heads=HEADS, ffn_dim=20)
    found = block(hidden, *block.cross_attn.keys_and_values(tokens))
    assert torch.equal(found, hidden)
    found.square().sum().backward()
    for name, p in block.named_parameters():
        assert p.grad.isfinite().all()
        assert (p.grad != 0).any() == name.startswith("alpha_")


def test_the_order_of_tokens_does_not_matter(block, inputs):
    hidden, tokens = inputs
    one, other = (block.cross_attn.keys_and_values(x) for x in (tokens, tokens.flip(1)))
    torch.testing.assert_close(block(hidden, *one), block(hidden, *other), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("layers", "every", "before"), [(4, 1, "0123"), (5, 2, "024"), (2, 3, "0")])
def test_blocks_stand_before_every_kth_layer(layers, every, before):
    blocks = CrossAttentionLayers(DIM, layers, **CHOICES | {"every": every})
    assert list(blocks.blocks) == list(before)
    assert [gate["layer"] for gate in blocks.gates()] == list(map(int, before))
    # Four projections and three matrices of an FFN of twice the width; two norms and two gates.
    assert sum(p.numel() for p in blocks.parameters()) == len(before) * (10 * DIM**2 + 2 * DIM + 2)


def test_layers_read_only_while_their_context_is_entered(inputs):
    hidden, tokens = inputs
    blocks = opened(CrossAttentionLayers(DIM, 2, **CHOICES | {"every": 2}))
    layers = nn.ModuleList([nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)])

    def through(hidden):
        for layer in layers:
            hidden = layer(hidden)
        return hidden

    plain = through(hidden)
    block = blocks.blocks["0"]
    expected = through(block(hidden, *block.cross_attn.keys_and_values(tokens)))
    with before_layers(layers, blocks.reader(tokens)):
        torch.testing.assert_close(through(hidden), expected)
    assert torch.equal(through(hidden), plain)
    with pytest.raises(RuntimeError, match="stopped"), before_layers(layers, blocks.reader(tokens)):
        raise RuntimeError("stopped")
    assert torch.equal(through(hidden), plain)


def test_beams_read_the_tokens_of_their_example(inputs):
    hidden, tokens = inputs
    blocks = opened(CrossAttentionLayers(DIM, 1, **CHOICES))
    beams = hidden.repeat_interleave(3, 0)
    torch.testing.assert_close(
        blocks.reader(tokens)(0, beams), blocks.reader(tokens)(0, hidden).repeat_interleave(3, 0)
    )


def test_a_text_in_bfloat16_stays_in_it(inputs):
    hidden, tokens = inputs
    blocks = opened(CrossAttentionLayers(DIM, 1, **CHOICES))
    found = blocks.reader(tokens)(0, hidden.bfloat16())
    expected = blocks.reader(tokens)(0, hidden.bfloat16().float())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected.bfloat16())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"stack": "both"}, r"stack='both' must be one of encoder, decoder\. Set model\.cross_attention\.stack"),
        ({"every": 0}, r"every=0 is less than 1\. Raise model\.cross_attention\.every"),
        ({"num_heads": 5}, r"num_heads=5 does not divide .* width of 12\. Set .*num_heads to one of \[1, 2, 3, 4"),
    ],
)  # fmt: skip
def test_bad_input(choice, message):
    with pytest.raises(ValueError, match=message):
        CrossAttentionLayers(DIM, 2, **CHOICES | choice)
