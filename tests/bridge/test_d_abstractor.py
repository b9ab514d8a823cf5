"""Honeybee's D-Abstractor against transformers' decoder layer of Deformable DETR, and its sampling against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import DeformableDetrDecoderLayer

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.bridge.d_abstractor import DAbstractor, DeformableAttention, nearness, point_grid

SIZES = {"num_tokens": 4, "depth": 1, "num_heads": 2, "num_points": 3}


def config(width, choices):
    return DeformableDetrConfig(
        d_model=width,
        num_feature_levels=1,
        decoder_attention_heads=choices["num_heads"],
        decoder_n_points=choices["num_points"],
        decoder_ffn_dim=choices.get("ffn_dim", width),
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        attn_implementation="eager",
    )


def reference(bridge, patches, layers):
    """As in the authors' code with one level and pooled queries."""
    batch, (rows, columns) = len(patches), bridge.grid
    x = bridge.input_proj(patches) + bridge.v_pos_emb
    as_image = x.transpose(1, 2).reshape(batch, -1, rows, columns)
    pooled = nn.AdaptiveAvgPool2d(bridge.side)(as_image).flatten(2).transpose(1, 2)
    hidden = bridge.query_position_embeddings[None].repeat(batch, 1, 1)
    for layer in layers:
        hidden = layer(
            hidden,
            object_queries_position_embeddings=pooled,
            reference_points=bridge.reference_points[None, :, None].repeat(batch, 1, 1, 1),
            spatial_shapes=torch.tensor([[rows, columns]]),
            spatial_shapes_list=[(rows, columns)],
            level_start_index=torch.tensor([0]),
            encoder_hidden_states=x,
        )
    return bridge.output_proj(hidden)


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "side", "choices"),
    [
        (8, 5, 4, SIZES),
        (6, 8, 5, SIZES | {"num_tokens": 9, "depth": 2, "width": 8, "ffn_dim": 7}),
        (4, 6, 3, SIZES | {"num_tokens": 1, "num_heads": 1, "num_points": 1}),
    ],
)
def test_is_transformers(vision_dim, text_dim, side, choices):
    torch.manual_seed(0)
    bridge = DAbstractor(vision_dim, text_dim, grid=(side, side), **choices).double()
    width = choices.get("width", vision_dim)
    layers = nn.ModuleList(DeformableDetrDecoderLayer(config(width, choices)) for _ in bridge.layers).double()
    for name, p in bridge.named_parameters():  # samples also beyond the image's edges
        nn.init.normal_(p, mean=0.5 * (name == "reference_points"), std=0.5)
    layers.load_state_dict(bridge.layers.state_dict())  # the keys are the same
    patches = torch.randn(2, side**2, vision_dim, dtype=torch.float64)
    tokens, expected = bridge(patches), reference(bridge, patches, layers)
    torch.testing.assert_close(tokens, expected, rtol=1e-10, atol=1e-10)
    onto = torch.randn_like(tokens)
    outside = [p for name, p in bridge.named_parameters() if not name.startswith("layers.")]
    names = [name for name, _ in bridge.layers.named_parameters()]  # their order differs in the two
    own, theirs = (
        [*outside, *map(dict(module.named_parameters()).__getitem__, names)]
        for module in (bridge.layers, layers)
    )
    gradients = torch.autograd.grad((tokens * onto).sum(), own)
    wanted = torch.autograd.grad((expected * onto).sum(), theirs)
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("heads", "directions"),
    [
        (2, [(1, 0), (-1, 0)]),
        (4, [(1, 0), (0, 1), (-1, 0), (0, -1)]),
        (8, [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]),
    ],
)
def test_starts_as_deformable_detr(heads, directions):
    attention = DeformableAttention(16, heads, 3, (4, 4))
    offsets = attention.sampling_offsets.bias.reshape(heads, 3, 2)
    for head, direction in enumerate(directions):
        for point in range(3):
            expected = [(point + 1) * step for step in direction]
            assert offsets[head, point].tolist() == pytest.approx(expected, abs=1e-5)
    for parameter in (attention.sampling_offsets.weight, *attention.attention_weights.parameters()):
        assert not parameter.any()


@given(
    st.floats(-2, 6), st.floats(-2, 8), st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**31)
)  # fmt: skip
@settings(deadline=None)
def test_a_sample_is_interpolated_from_the_four_patches_around_it(y, x, rows, columns, seed):
    image = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = 0.0
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < rows and 0 <= j < columns:
                expected += (1 - abs(y - i)) * (1 - abs(x - j)) * image[i, j].item()
    at = [
        nearness(torch.tensor([place], dtype=torch.float64), n)[0] for place, n in ((y, rows), (x, columns))
    ]
    assert (at[0] @ image @ at[1]).item() == pytest.approx(expected, abs=1e-12)


def test_points_span_the_grid_in_raster_order():
    points = point_grid(3, (5, 5)) * 5 - 0.5  # in patches
    assert points.tolist() == [[x, y] for y in (0, 2, 4) for x in (0, 2, 4)]


def test_a_query_looks_around_its_own_point_at_first():
    bridge = DAbstractor(6, 5, grid=(8, 8), **SIZES | {"num_tokens": 4, "num_points": 1})
    with attention_over_patches() as weights:
        bridge(torch.randn(2, 65, 6))
    assert tuple(weights[0].shape) == (2, 2, 4, 64)
    seen = weights[0].mean((0, 1)).reshape(4, 8, 8)
    # Heads point right and left. Corner queries sample half a patch outside the image, which is zero.
    for query, (row, column) in enumerate(((0, 1), (0, 6), (7, 1), (7, 6))):
        assert (seen[query] > 1e-3).nonzero().tolist() == [[row, column]]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_tokens": 5}, r"num_tokens=5 is not a square"),
        ({"num_tokens": 25}, r"num_tokens=25 is more than the 16 patches"),
        ({"num_heads": 3}, r"num_heads=3 does not divide width=8"),
        ({"num_points": 0}, r"num_points=0 is less than 1\. Set bridge\.num_points"),
        ({"depth": 0}, r"depth=0 is less than 1"),
        ({"ffn_dim": 0}, r"ffn_dim=0 is less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        DAbstractor(8, 5, grid=(4, 4), **(SIZES | choices))
