"""Qwen-VL's resampler against its equations in float64 and against torch's own attention layer."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.bridge.perceiver_qwen import QwenResampler, resized, sincos_positions


@pytest.mark.parametrize(("side", "dim"), [(1, 4), (3, 8), (4, 12), (16, 64)])
def test_positions_are_sines_and_cosines_of_column_and_row(side, dim):
    positions = sincos_positions(side, dim)
    assert positions.shape == (side**2, dim)
    for place in range(side**2):
        expected = [
            wave(number / 10_000 ** (i / (dim // 4)))
            for number in (place % side, place // side)
            for wave in (math.sin, math.cos)
            for i in range(dim // 4)
        ]
        assert positions[place].tolist() == pytest.approx(expected, abs=1e-6)


def test_positions_are_interpolated_to_the_patches_grid():
    positions = sincos_positions(3, 8)
    assert torch.equal(resized(positions, 3, [3, 3]), positions)
    larger = resized(positions, 3, (6, 9))
    as_image = positions.reshape(3, 3, 8).permute(2, 0, 1)[None]
    for channel in range(8):
        expected = F.interpolate(as_image[:, channel : channel + 1], (6, 9), mode="bicubic")
        torch.testing.assert_close(larger[:, channel], expected.flatten())


def reference(bridge, patches):
    """As published: torch's attention layer over [place, image, channel], with everything repeated for each image."""
    pool = bridge.attn_pool
    context = pool.ln_kv(pool.kv_proj(patches)).permute(1, 0, 2)
    query = pool.ln_q(pool.query)[:, None].repeat(1, len(patches), 1)
    mixed = pool.attn(query + pool.query_positions[:, None], context + pool.key_positions[:, None], context)[
        0
    ].permute(1, 0, 2)
    return bridge.ln_post(mixed) @ bridge.proj


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "grid", "choices"),
    [
        (6, 8, (4, 4), {"num_queries": 4, "num_heads": 2}),
        (8, 8, (2, 2), {"num_queries": 4, "num_heads": 1}),
        (7, 5, (3, 5), {"num_queries": 9, "num_heads": 3, "width": 12}),
    ],
)
def test_is_the_published_layer(vision_dim, text_dim, grid, choices):
    torch.manual_seed(0)
    bridge = QwenResampler(vision_dim, text_dim, grid=grid, **choices).double()
    assert isinstance(bridge.attn_pool.kv_proj, nn.Identity) == (vision_dim == choices.get("width", text_dim))
    for p in bridge.parameters():
        nn.init.normal_(p, std=0.5)
    patches = torch.randn(3, grid[0] * grid[1], vision_dim, dtype=torch.float64)
    tokens, expected = bridge(patches), reference(bridge, patches)
    torch.testing.assert_close(tokens, expected, rtol=1e-11, atol=1e-11)
    onto = torch.randn_like(tokens)
    gradients, wanted = (
        torch.autograd.grad((t * onto).sum(), list(bridge.parameters())) for t in (tokens, expected)
    )
    for gradient, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-9)


def attended(bridge, patches):
    """Loops over heads and queries: the softmax of scores that are sums of a content and a place."""
    pool = bridge.attn_pool
    heads, dim = pool.attn.num_heads, pool.attn.head_dim
    (wq, wk, wv), (bq, bk, bv) = pool.attn.in_proj_weight.chunk(3), pool.attn.in_proj_bias.chunk(3)
    context = pool.ln_kv(pool.kv_proj(patches))
    query = (pool.ln_q(pool.query) + pool.query_positions) @ wq.T + bq
    key, value = (context + pool.key_positions) @ wk.T + bk, context @ wv.T + bv
    rows = []
    for m in range(len(query)):
        parts = []
        for h in range(heads):
            own = slice(h * dim, (h + 1) * dim)
            scores = torch.stack([query[m, own] @ key[n, own] / math.sqrt(dim) for n in range(len(key))])
            weights = scores.exp() / scores.exp().sum()
            parts.append(sum(w * value[n, own] for n, w in enumerate(weights)))
        rows.append(torch.cat(parts))
    return bridge.ln_post(pool.attn.out_proj(torch.stack(rows))) @ bridge.proj


def test_is_the_papers_equations_written_as_loops():
    torch.manual_seed(0)
    bridge = QwenResampler(6, 8, grid=(2, 3), num_queries=4, num_heads=2).double()
    for p in bridge.parameters():
        nn.init.normal_(p, std=0.5)
    patches = torch.randn(6, 6, dtype=torch.float64)
    torch.testing.assert_close(bridge(patches[None])[0], attended(bridge, patches), rtol=1e-11, atol=1e-11)


def test_equal_patches_are_told_apart_by_place_alone():
    torch.manual_seed(0)
    bridge = QwenResampler(6, 8, grid=(4, 4), num_queries=4, num_heads=1)
    with attention_over_patches() as weights:
        bridge(torch.ones(1, 17, 6))
    assert tuple(weights[0].shape) == (1, 1, 4, 16)  # without the class token
    assert weights[0][0, 0].std(1).min() > 1e-3  # 1e-8 without positions


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_queries": 5}, r"num_queries=5 is not a square.*bridge\.num_queries to 4 or 9"),
        ({"num_queries": 0}, r"num_queries=0 is less than 1"),
        ({"num_heads": 3}, r"num_heads=3 does not divide width=8"),
        ({"width": 10}, r"width=10: 2-D positions.*multiple of 4\. Set bridge\.width to 8 or 12"),
        ({"width": 2}, r"width=2: .*bridge\.width to 4 or 4"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        QwenResampler(6, 8, grid=(4, 4), **({"num_queries": 4, "num_heads": 2} | choices))
