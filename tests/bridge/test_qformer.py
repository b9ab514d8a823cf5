"""The Q-Former against transformers' BLIP-2 with the same weights, and against the traps of its start."""

import pytest
import torch
from transformers import Blip2QFormerConfig, InstructBlipQFormerConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel
from transformers.models.instructblip.modeling_instructblip import InstructBlipQFormerModel

from bridgelab.bridge.fold_norm import standardize
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.qformer_layer import Attention, Layer

SIZES = [  # vision_dim, text_dim, choices
    (12, 10, {"num_queries": 3, "depth": 1, "width": 8, "num_heads": 2}),
    (20, 16, {"num_queries": 5, "depth": 4, "width": 24, "num_heads": 3, "cross_attention_every": 2}),
    (
        7,
        9,
        {
            "num_queries": 4,
            "depth": 5,
            "width": 16,
            "num_heads": 4,
            "cross_attention_every": 3,
            "ffn_ratio": 2,
        },
    ),
]
PATCHES = [6, 40]


def reference(vision_dim, choices, text=False):
    width = choices["width"]
    config = Blip2QFormerConfig(
        hidden_size=width,
        num_hidden_layers=choices["depth"],
        num_attention_heads=choices["num_heads"],
        intermediate_size=choices.get("ffn_ratio", 4) * width,
        encoder_hidden_size=vision_dim,
        cross_attention_frequency=choices.get("cross_attention_every", 2),
        use_qformer_text_input=text,
        attn_implementation="eager",
    )
    return randomise(Blip2QFormerModel(config)).eval()


def randomise(module):
    """Norms and biases away from one and zero, where a slip would not show."""
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return module


def ours(name):
    """The key map of QFormer's docstring."""
    for theirs, mine in [
        ("encoder.layer.", "layer."),
        (".intermediate_query.", ".ffn_query."),
        (".output_query.", ".ffn_query.output."),
        (".intermediate.", ".ffn_text."),
    ]:
        name = name.replace(theirs, mine)
    part = name.split(".")
    if part[0] == "layer" and part[2] == "output":
        part[2] = "ffn_text.output"
    return ".".join(part)


@pytest.mark.parametrize("tokens", [2, 5])
def test_one_product_for_queries_keys_and_values_is_the_same_attention(tokens, monkeypatch):
    """Of the same tensor queries, keys and values are projected by one product, of a copy one by one."""
    torch.manual_seed(0)
    attention, hidden = randomise(Attention(8, 8, 2, 0.0)).double(), torch.randn(3, tokens, 8).double()
    jointly = []
    project = Attention._project_jointly
    monkeypatch.setattr(Attention, "_project_jointly", lambda *a: jointly.append(True) or project(*a))
    torch.testing.assert_close(
        attention(hidden, hidden), attention(hidden, hidden.clone()), rtol=1e-10, atol=1e-10
    )
    assert len(jointly) == (3 * tokens >= 8)


def test_a_folded_norm_is_the_norm():
    torch.manual_seed(0)
    attention, norm = randomise(Attention(8, 12, 2, 0.0)).double(), randomise(torch.nn.LayerNorm(12)).double()
    hidden, patches = torch.randn(3, 4, 8).double(), torch.randn(3, 6, 12).double()
    folded = attention(hidden, attention.keys_values(standardize(patches, norm), norm))
    torch.testing.assert_close(folded, attention(hidden, norm(patches)), rtol=1e-10, atol=1e-10)


def copied(model):
    return {ours(name): value for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("count", PATCHES)
@pytest.mark.parametrize(("vision_dim", "text_dim", "choices"), SIZES)
def test_is_transformers_blip2(vision_dim, text_dim, choices, count, dtype, tolerance):
    torch.manual_seed(0)
    model = reference(vision_dim, choices).to(dtype)
    bridge = randomise(QFormer(vision_dim, text_dim, **choices)).to(dtype)
    report = bridge.load_state_dict(copied(model), strict=False)
    assert not report.unexpected_keys
    # What is left is what stands round transformers' class: it gets queries and normalised patches as inputs.
    outside = {"query_tokens", "ln_vision.weight", "ln_vision.bias"}
    outside |= {"language_projection.weight", "language_projection.bias"}
    assert set(report.missing_keys) == outside

    patches = torch.randn(3, count, vision_dim, dtype=dtype, requires_grad=True)
    normed = torch.nn.functional.layer_norm(
        patches, (vision_dim,), bridge.ln_vision.weight, bridge.ln_vision.bias, 1e-6
    )
    queries = model(bridge.query_tokens.expand(3, -1, -1), encoder_hidden_states=normed).last_hidden_state
    expected = queries @ bridge.language_projection.weight.T + bridge.language_projection.bias
    tokens = bridge(patches)
    torch.testing.assert_close(tokens, expected, rtol=tolerance, atol=tolerance)

    # Gradients: of what both are made of, and of each weight that was copied.
    shared = [patches, bridge.query_tokens, bridge.ln_vision.weight, bridge.ln_vision.bias]
    copies = [bridge.get_parameter(ours(name)) for name, _ in model.named_parameters()]
    weights = torch.randn_like(tokens)
    gradients = torch.autograd.grad((tokens * weights).sum(), [*shared, *copies])
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [*shared, *model.parameters()])
    largest = max(float(gradient.abs().max()) for gradient in expected_gradients)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=10 * tolerance, atol=10 * tolerance * largest)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_is_transformers_blip2_at_the_published_size(dtype, tolerance):
    torch.manual_seed(0)
    published = {"num_queries": 32, "depth": 12, "width": 768, "num_heads": 12}
    model = reference(1408, published).to(dtype)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.02)  # as BERT's, so that twelve layers stay in range
    bridge = QFormer(1408, 2048, **published).to(dtype)
    bridge.load_state_dict(copied(model), strict=False)
    patches = torch.randn(1, 257, 1408, dtype=dtype)
    with torch.no_grad():
        normed = bridge.ln_vision(patches)
        expected = model(bridge.query_tokens, encoder_hidden_states=normed).last_hidden_state
        expected = bridge.language_projection(expected)
        torch.testing.assert_close(bridge(patches), expected, rtol=tolerance, atol=tolerance)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(101.6e6, rel=0.04)  # as published


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("count", PATCHES)
@pytest.mark.parametrize(("vision_dim", "choices"), [(v, c) for v, _, c in SIZES])
def test_conditioned_it_is_transformers_instructblip(vision_dim, choices, count, dtype, tolerance):
    """From behind the reference's embedding layer on: its text embeddings are our `text`."""
    torch.manual_seed(0)
    width = choices["width"]
    config = InstructBlipQFormerConfig(
        vocab_size=30,
        hidden_size=width,
        num_hidden_layers=choices["depth"],
        num_attention_heads=choices["num_heads"],
        intermediate_size=choices.get("ffn_ratio", 4) * width,
        max_position_embeddings=12,
        encoder_hidden_size=vision_dim,
        cross_attention_frequency=choices.get("cross_attention_every", 2),
        attn_implementation="eager",
    )
    model = randomise(InstructBlipQFormerModel(config)).eval().to(dtype)
    bridge = randomise(QFormer(vision_dim, width, **choices, conditioning="question")).to(dtype)
    torch.nn.init.eye_(bridge.text_projection.weight)
    state = {name.replace("embeddings.layernorm", "layernorm"): w for name, w in copied(model).items()}
    report = bridge.load_state_dict(state, strict=False)
    last = f"layer.{choices['depth'] - 1}.ffn_text."
    assert all(k.startswith(("embeddings.", last)) for k in report.unexpected_keys)
    assert not [
        k for k in report.missing_keys if k.startswith(("layer", "text")) and k != "text_projection.weight"
    ]

    ids = torch.randint(1, 30, (3, 7))
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, -2:] = mask[2, -5:] = 0
    text = model.embeddings.word_embeddings(ids) + model.embeddings.position_embeddings.weight[:7]
    patches = torch.randn(3, count, vision_dim, dtype=dtype)
    normed = bridge.ln_vision(patches)
    num_queries = choices["num_queries"]
    out = model(
        ids,
        attention_mask=torch.cat([torch.ones(3, num_queries, dtype=torch.long), mask], 1),
        query_embeds=bridge.query_tokens.expand(3, -1, -1),
        encoder_hidden_states=normed,
    ).last_hidden_state[:, :num_queries]
    tokens = bridge(patches, text.detach(), mask)
    torch.testing.assert_close(tokens, bridge.language_projection(out), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("vision_dim", "text_dim", "choices"), SIZES)
def test_layers_with_text_are_transformers(vision_dim, text_dim, choices):
    """Self-attention over [queries; text], padding masked, and an FFN for each."""
    torch.manual_seed(0)
    model = reference(vision_dim, choices, text=True).double()
    state, every = copied(model), choices.get("cross_attention_every", 2)
    num_queries, width = choices["num_queries"], choices["width"]
    patches, norm = torch.randn(3, 6, vision_dim).double(), randomise(torch.nn.LayerNorm(vision_dim)).double()
    both = torch.randn(3, num_queries + 4, width).double()
    mask = torch.ones(3, num_queries + 4, dtype=torch.bool)
    mask[1, -1] = mask[2, -3:] = False
    hidden = model.layernorm(both)
    for i in range(choices["depth"]):
        layer = Layer(
            width,
            vision_dim,
            choices["num_heads"],
            choices.get("ffn_ratio", 4) * width,
            0.0,
            cross_attention=i % every == 0,
            text=True,
        ).double()
        prefix = f"layer.{i}."
        layer.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        hidden = layer(hidden, layer.project_patches(standardize(patches, norm), norm), num_queries, mask)
    expected = model(
        both, query_length=num_queries, attention_mask=mask.long(), encoder_hidden_states=norm(patches)
    ).last_hidden_state
    torch.testing.assert_close(hidden, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("vision_dim", "millions"), [(1024, 101.6), (1408, 105.2)])
def test_published_size(vision_dim, millions):
    """12 layers of 768 over ViT-L and over BLIP-2's EVA-g, without the projection; our count, and theirs."""
    choices = {"num_queries": 32, "depth": 12, "width": 768, "num_heads": 12}
    config = Blip2QFormerConfig(encoder_hidden_size=vision_dim, use_qformer_text_input=False)
    with torch.device("meta"):
        bridge = QFormer(vision_dim, 2048, **choices)
        theirs = sum(p.numel() for p in Blip2QFormerModel(config).parameters())
    counts = {name: p.numel() for name, p in bridge.named_parameters()}
    assert sum(count for name, count in counts.items() if name.startswith("layer")) == theirs
    assert round((theirs + counts["query_tokens"]) / 1e6, 1) == millions


def test_init_is_berts_at_berts_width_and_as_large_elsewhere():
    torch.manual_seed(0)
    for width, expected in ((768, 0.02), (192, 0.04)):
        bridge = QFormer(64, 64, num_queries=16, depth=1, width=width, num_heads=4)
        torch.testing.assert_close(
            bridge.layer[0].ffn_query.dense.weight.std().item(), expected, rtol=0.02, atol=0
        )
        assert not bridge.layer[0].ffn_query.dense.bias.any()
        torch.testing.assert_close(bridge.query_tokens.std().item(), 0.02, rtol=0.1, atol=0)


def test_zero_queries_would_be_a_trap():
    """Why queries start at random: zeros explode at the first step, and equal queries stay equal."""
    torch.manual_seed(0)
    bridge = QFormer(12, 10, num_queries=4, depth=2, width=16, num_heads=2)
    patches, target = torch.randn(3, 6, 12), torch.randn(3, 4, 10)

    def first_gradient():
        loss = (bridge(patches) - target).square().mean()
        return torch.autograd.grad(loss, bridge.query_tokens)[0].norm()

    assert 1e-4 < first_gradient() < 100
    torch.nn.init.zeros_(bridge.query_tokens)
    assert first_gradient() > 1e3
    tokens = bridge(patches)
    torch.testing.assert_close(tokens, tokens[:, :1].expand_as(tokens))


def test_dropout_works_in_training_only():
    bridge = QFormer(12, 10, num_queries=3, depth=2, width=16, num_heads=2, dropout=0.5)
    patches = torch.randn(2, 6, 12)
    assert not torch.equal(bridge.train()(patches), bridge(patches))
    assert torch.equal(bridge.eval()(patches), bridge(patches))


def test_dropout_differs_from_image_to_image():
    """Before queries look at the patches too, where without dropout they are the same for all."""
    bridge = QFormer(12, 10, num_queries=3, depth=1, width=16, num_heads=2, dropout=0.5)
    torch.nn.init.zeros_(bridge.layer[0].crossattention.output.dense.weight)
    bridge.layer[0].ffn_query.output.dropout.p = bridge.layer[0].crossattention.output.dropout.p = 0.0
    tokens = bridge.train()(torch.randn(1, 6, 12).expand(2, -1, -1))
    assert not torch.equal(tokens[0], tokens[1])


def test_heads_must_divide():
    with pytest.raises(ValueError, match=r"num_heads=5 does not divide width=12.*\[1, 2, 3, 4, 6, 12\]"):
        QFormer(8, 6, num_queries=3, depth=1, width=12, num_heads=5)


@pytest.mark.parametrize(
    "name", ["num_queries", "depth", "width", "num_heads", "cross_attention_every", "ffn_ratio"]
)
def test_counts_must_be_positive(name):
    choices = {"num_queries": 3, "depth": 1, "width": 12, "num_heads": 2} | {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0 is less than 1"):
        QFormer(8, 6, **choices)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_must_leave_something(dropout):
    with pytest.raises(ValueError, match=rf"dropout={dropout} is not in \[0, 1\)"):
        QFormer(8, 6, num_queries=3, depth=1, width=12, num_heads=2, dropout=dropout)


def test_unknown_conditioning_names_the_choices():
    with pytest.raises(
        ValueError, match=r"conditioning='text' is unknown.*one of none, question, mismatched"
    ):
        QFormer(8, 6, num_queries=3, depth=1, width=12, num_heads=2, conditioning="text")


def test_query_gain_sharpens_only_what_asks_the_patches():
    def state(gain):
        torch.manual_seed(0)
        return QFormer(8, 6, num_queries=3, depth=3, width=12, num_heads=2, query_gain=gain).state_dict()

    published, ours = state(1.0), state(4.0)
    asking = [f"layer.{i}.crossattention.attention.query.weight" for i in (0, 2)]
    for name, value in published.items():
        torch.testing.assert_close(ours[name], value * (4 if name in asking else 1), msg=name)


def test_query_gain_must_be_positive():
    with pytest.raises(ValueError, match=r"query_gain=0\.0 is not positive.*Set bridge.query_gain to 1"):
        QFormer(8, 6, num_queries=3, depth=1, width=12, num_heads=2, query_gain=0.0)
