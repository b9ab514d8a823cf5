import pytest
import torch

from bridgelab.bridge.blind import Blind
from bridgelab.bridge.gated_cross_attention import CrossAttentionLayers
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.words import Words
from bridgelab.evaluation.costs import measure_costs
from bridgelab.model import BridgedModel
from bridgelab.text.adapter import build_adapter


def batch(text, patches):
    prompt, mask = text.tokenize(["what is it"] * len(patches))
    return {
        "patches": patches,
        "prompt": prompt,
        "prompt_mask": mask,
        "labels": torch.ones(len(patches), 1).long(),
    }


def by_hand(text, tokens, words, target, gradient):
    """Matrix products of a T5, two operations each, from its configuration."""
    c = text.model.config
    inner, length = c.num_heads * c.d_kv, tokens + words
    feed_forward = 3 * c.d_model * c.d_ff  # gated
    encoder = c.num_layers * (length * (4 * c.d_model * inner + feed_forward) + 2 * length**2 * inner)
    cross = length * 2 * c.d_model * inner + target * 2 * c.d_model * inner + 2 * target * length * inner
    own = target * 4 * c.d_model * inner + 2 * target**2 * inner
    decoder = c.num_decoder_layers * (cross + own + target * feed_forward) + target * c.d_model * c.vocab_size
    return 2 * (encoder + decoder)


@pytest.mark.parametrize("size", [1, 6])
def test_linear_is_counted_by_hand(tiny_text, size):
    model = BridgedModel(Linear(5, tiny_text.dim), tiny_text)
    given = batch(tiny_text, torch.randn(size, 3, 5))
    model.init_output_scale(given)
    costs = measure_costs(model, given)
    assert costs["trainable_parameters"] == 5 * tiny_text.dim + tiny_text.dim
    assert costs["visual_tokens"] == 3
    assert costs["flops_bridge_forward"] == 2 * 3 * 5 * tiny_text.dim
    # Of the weight; patches have no gradient.
    assert costs["flops_bridge_backward"] == 2 * 3 * 5 * tiny_text.dim
    expected = by_hand(tiny_text, 3, 8, 1, False)
    # The softmax's sum is a column more.
    assert costs["flops_text_forward"] == pytest.approx(expected, rel=0.03)
    assert costs["flops_text_forward"] < costs["flops_text_backward"] < 1.7 * costs["flops_text_forward"]
    assert all(p.grad is None for p in model.bridge.parameters())


@pytest.mark.parametrize("patches", [4, 40])
def test_the_qformer_is_counted_by_hand(tiny_text, patches):
    queries, width, heads, vision_dim, size = 3, 8, 2, 6, 4
    model = BridgedModel(
        QFormer(vision_dim, tiny_text.dim, num_queries=queries, depth=2, width=width, num_heads=heads),
        tiny_text,
    )
    given = batch(tiny_text, torch.randn(size, patches, vision_dim))
    model.init_output_scale(given)
    costs = measure_costs(model, given)
    # Multiplications. Once a batch, since queries are the same for all images until they look at one: layer 0's
    # self-attention (four projections, scores and mixing) and the queries of its cross-attention.
    once = 4 * queries * width**2 + 2 * queries**2 * width + queries * width**2
    # An example: layer 1's self-attention; the output of layer 0's cross-attention; an FFN of four times the width in both; the
    # way out.
    each = 4 * queries * width**2 + 2 * queries**2 * width + queries * width**2
    each += 2 * (2 * queries * width * 4 * width) + queries * width * tiny_text.dim
    # The patches' keys and values, then scores and mixing.
    from_patches = 2 * patches * vision_dim * width
    each += from_patches + 2 * queries * patches * width
    assert costs["flops_bridge_forward"] == 2 * (once + size * each) // size
    # Backward each product has two, by its two factors, but those with patches, which have no gradient.
    assert costs["flops_bridge_backward"] == 2 * (2 * once + size * (2 * each - from_patches)) // size


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_blocks_between_layers_are_counted_by_hand(tiny_text, stack):
    tokens, words, target, d, ratio = 3, 8, 1, tiny_text.dim, 2
    layers = len(getattr(tiny_text.model, stack).block)
    blocks = CrossAttentionLayers(d, layers, stack=stack, every=1, num_heads=2, ffn_ratio=ratio)
    model = BridgedModel(Linear(5, d), tiny_text, insert="cross_attention", cross_attention=blocks)
    given = batch(tiny_text, torch.randn(4, tokens, 5))
    model.init_output_scale(given)
    costs = measure_costs(model, given)
    assert costs["trainable_parameters"] == 5 * d + d + sum(p.numel() for p in blocks.parameters())
    # Multiplications: queries and output, keys and values, scores and mixing, the gated FFN.
    length = words if stack == "encoder" else target
    matrices = 2 * length * d**2 + 2 * tokens * d**2 + 3 * length * ratio * d**2
    attention = 2 * length * tokens * d
    alone = batch(tiny_text, torch.zeros(4, 0, 5))  # the T5 reads the prompt and no token
    bare = BridgedModel(Linear(5, d), tiny_text)
    bare.scale.fill_(1.0)
    without = measure_costs(bare, alone)["flops_text_forward"]
    assert costs["flops_text_forward"] == without + 2 * layers * (matrices + attention)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("ceiling", [False, True])
def test_an_adapter_is_counted_apart(tiny_text, ceiling):
    """Beside linear, and beside plain words, whose tokens have no gradient."""
    c, rank, dim = tiny_text.model.config, 3, tiny_text.dim
    patches = tiny_text.embed_words(["red cube a", "a"]) if ceiling else torch.randn(2, 3, 5)
    given = batch(tiny_text, patches)

    def costs(**options):
        bridge = Words(dim, dim, num_tokens=0) if ceiling else Linear(5, dim)
        model = BridgedModel(bridge, tiny_text, adapter=build_adapter(options, tiny_text.model))
        model.init_output_scale(given)
        found = measure_costs(model, given)
        assert all(p.grad is None for p in model.parameters())
        return found

    frozen = costs()
    lora = costs(adapt="lora", lora={"rank": rank, "alpha": 1, "targets": ["q"]})
    prompt = costs(adapt="prompt", prompt_tokens=4)
    # q of two layers' self-attention in the encoder, and of self- and cross-attention in the decoder.
    inner, layers = c.num_heads * c.d_kv, c.num_layers + 2 * c.num_decoder_layers
    assert lora["adapter_parameters"] == layers * rank * (dim + inner)
    assert prompt["adapter_parameters"] == 4 * dim
    for adapted in (lora, prompt):
        own = adapted["trainable_parameters"] - adapted["adapter_parameters"]
        assert own == frozen["trainable_parameters"] == (0 if ceiling else 5 * dim + dim)
        for name in ("visual_tokens", "flops_bridge_forward", "flops_bridge_backward"):
            assert adapted[name] == frozen[name]
        assert adapted["flops_text_forward"] > frozen["flops_text_forward"]
        # Beside words, nothing before the first adapted layer has a gradient.
        assert adapted["flops_text_backward"] > (0.9 if ceiling else 1) * adapted["flops_text_forward"]
    positions = c.num_layers * (3 + 8) + 2  # encoder's, and the decoder's single one, twice
    assert lora["flops_text_forward"] - frozen["flops_text_forward"] == pytest.approx(
        2 * positions * rank * (dim + inner), rel=0.3  # our encoder, which the frozen one has, masks with a product less
    )  # fmt: skip
    assert prompt["flops_text_forward"] == pytest.approx(by_hand(tiny_text, 3 + 4, 8, 1, False), rel=0.03)


def test_floor_and_ceiling(tiny_text):
    blind = BridgedModel(Blind(1, tiny_text.dim, num_tokens=4), tiny_text)
    given = batch(tiny_text, torch.zeros(2, 1, 1))
    blind.init_output_scale(given)
    costs = measure_costs(blind, given)
    assert (costs["trainable_parameters"], costs["visual_tokens"]) == (4 * tiny_text.dim, 4)
    assert costs["flops_bridge_forward"] == 0
    words = BridgedModel(Words(tiny_text.dim, tiny_text.dim, num_tokens=0), tiny_text)
    costs = measure_costs(words, batch(tiny_text, tiny_text.embed_words(["red cube a cube .", "a"])))
    assert (costs["trainable_parameters"], costs["visual_tokens"]) == (0, 5)
    assert costs["flops_text_forward"] > 0
    assert costs["flops_text_backward"] == costs["flops_bridge_backward"] == 0
