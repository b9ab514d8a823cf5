"""TokenPacker against float64 loops over cells, and against torch's own attention layer and interpolation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.bridge.token_packer import TokenPacker


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def linear(x, state, at):
    return x @ state[f"{at}.weight"].T + state.get(f"{at}.bias", 0.0)


def mlp(x, state, at):
    return linear(gelu(linear(x, state, f"{at}.0")), state, f"{at}.2")


def norm(x, state, at):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return scaled * state[f"{at}.weight"] + state[f"{at}.bias"]


def point(patches, row, column, ratio):
    """The grid [row, column, channel] at a cell's centre, linear between the four patches around it."""
    r, c = ratio * (row + 0.5) - 0.5, ratio * (column + 0.5) - 0.5
    total = 0.0
    for i in (math.floor(r), math.ceil(r)):
        for j in (math.floor(c), math.ceil(c)):
            total = total + 0.25 * patches[i, j]
    return total


def packed(patches, state, ratio, heads):
    """One image, patches [row, column, channel]: for each cell and head, softmax over the cell's patches."""
    weights = np.split(state["clip_attn.in_proj_weight"], 3)
    biases = np.split(state["clip_attn.in_proj_bias"], 3)
    tokens = []
    for row in range(patches.shape[0] // ratio):
        for column in range(patches.shape[1] // ratio):
            rows, columns = (slice(ratio * at, ratio * (at + 1)) for at in (row, column))
            cell = patches[rows, columns].reshape(ratio**2, -1)
            q = norm(linear(point(patches, row, column, ratio), state, "q_proj_1"), state, "ln_q_1")
            k = norm(mlp(cell, state, "k_proj_1"), state, "ln_k_1")
            v = norm(mlp(cell, state, "v_proj_1"), state, "ln_v_1")
            q, k, v = (x @ w.T + b for x, w, b in zip((q, k, v), weights, biases, strict=True))
            mixed = []
            for qh, kh, vh in zip(
                np.split(q, heads), np.split(k, heads, 1), np.split(v, heads, 1), strict=True
            ):
                scores = np.exp(kh @ qh / math.sqrt(len(qh)))
                mixed.append(scores / scores.sum() @ vh)
            tokens.append(mlp(linear(np.concatenate(mixed), state, "clip_attn.out_proj"), state, "mlp"))
    return np.stack(tokens)


def spread(bridge):
    """Weights, biases and norms away from zero and one, where a slip would not show."""
    for p in bridge.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return bridge


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "grid", "choices"),
    [
        (8, 5, (4, 4), {"ratio": 2, "num_heads": 2}),
        (6, 7, (3, 6), {"ratio": 3, "num_heads": 1, "width": 4}),
        (5, 4, (4, 8), {"ratio": 4, "num_heads": 3, "width": 9}),
        (4, 3, (2, 3), {"ratio": 1, "num_heads": 4}),
    ],
)
def test_is_the_papers_equations(vision_dim, text_dim, grid, choices):
    torch.manual_seed(0)
    bridge = spread(TokenPacker(vision_dim, text_dim, grid=grid, **choices).double())
    patches = torch.randn(2, grid[0] * grid[1], vision_dim, dtype=torch.float64)
    state = {name: value.numpy() for name, value in bridge.state_dict().items()}
    expected = np.stack(
        [packed(x.reshape(*grid, -1), state, choices["ratio"], choices["num_heads"]) for x in patches.numpy()]
    )
    torch.testing.assert_close(bridge(patches), torch.from_numpy(expected), rtol=1e-10, atol=1e-10)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None)
def test_points_are_those_of_bilinear_interpolation(ratio, rows, columns):
    grid = (rows * ratio, columns * ratio)
    bridge = TokenPacker(2, 3, grid=grid, ratio=ratio, num_heads=1)
    torch.nn.init.eye_(bridge.q_proj_1.weight)
    image = torch.randn(1, 2, *grid)
    expected = F.interpolate(image, (rows, columns), mode="bilinear")
    found = []
    hook = bridge.ln_q_1.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    bridge(image.flatten(2).transpose(1, 2))
    hook.remove()
    torch.testing.assert_close(found[0], expected.flatten(2).transpose(1, 2))


def test_a_token_depends_on_its_own_cell_alone():
    bridge = TokenPacker(6, 5, grid=(4, 6), ratio=2, num_heads=2)
    patches = torch.randn(1, 24, 6, requires_grad=True)
    for token, first in enumerate((0, 2, 4, 12, 14, 16)):
        (gradient,) = torch.autograd.grad(bridge(patches)[0, token].sum(), patches)
        read = gradient[0].abs().sum(1).nonzero().flatten().tolist()
        assert read == [first, first + 1, first + 6, first + 7]


def test_its_attention_is_collected_over_all_patches():
    bridge = TokenPacker(6, 5, grid=(4, 4), ratio=2, num_heads=2)
    with attention_over_patches() as weights:
        bridge(torch.randn(3, 17, 6))
    assert [tuple(w.shape) for w in weights] == [(3, 2, 4, 16)]
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3, 2, 4))
    assert (weights[0][:, :, 1] > 0).nonzero()[:, 2].unique().tolist() == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"ratio": 3}, r"ratio=3 does not divide the grid 4 x 4.*one of \[1, 2, 4\]"),
        ({"ratio": 0}, r"ratio=0 does not divide"),
        ({"num_heads": 3}, r"num_heads=3 does not divide width=8.*one of \[1, 2, 4, 8\]"),
        ({"num_heads": 0}, r"num_heads=0 is less than 1\. Set bridge\.num_heads"),
        ({"width": 0}, r"width=0 is less than 1\. Set bridge\.width"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        TokenPacker(8, 5, grid=(4, 4), **({"ratio": 2, "num_heads": 2} | choices))
