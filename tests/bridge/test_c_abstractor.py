"""The C-Abstractor against float64 loops over places, from Cha et al. 2024 and Radosavovic et al. 2020 (RegNet)."""

import numpy as np
import pytest
import torch

from bridgelab.bridge.c_abstractor import CAbstractor


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, state, at):
    """LayerNorm over the channels of each place; x [row, column, channel]."""
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * state[f"{at}.weight"] + state[f"{at}.bias"]


def depthwise(x, weight):
    """3 × 3, zeros beyond the edge, one kernel a channel."""
    out = np.zeros_like(x)
    for r, c in np.ndindex(x.shape[:2]):
        for i, j in np.ndindex(3, 3):
            if 0 <= r + i - 1 < x.shape[0] and 0 <= c + j - 1 < x.shape[1]:
                out[r, c] += weight[:, 0, i, j] * x[r + i - 1, c + j - 1]
    return out


def block(x, state, at):
    y = silu(norm(x @ state[f"{at}.conv1.conv.weight"][:, :, 0, 0].T, state, f"{at}.conv1.bn"))
    y = silu(norm(depthwise(y, state[f"{at}.conv2.conv.weight"]), state, f"{at}.conv2.bn"))
    squeezed = silu(y.mean((0, 1)) @ state[f"{at}.se.fc1.weight"][:, :, 0, 0].T + state[f"{at}.se.fc1.bias"])
    y = y * sigmoid(squeezed @ state[f"{at}.se.fc2.weight"][:, :, 0, 0].T + state[f"{at}.se.fc2.bias"])
    y = norm(y @ state[f"{at}.conv3.conv.weight"][:, :, 0, 0].T, state, f"{at}.conv3.bn")
    if f"{at}.downsample.conv.weight" in state:
        x = norm(x @ state[f"{at}.downsample.conv.weight"][:, :, 0, 0].T, state, f"{at}.downsample.bn")
    return silu(x + y)


def abstract(patches, state, side, cells, depth):
    """One image, patches [N, D]."""
    x = (patches + state["pos_emb"][0]).reshape(side, side, -1)
    for k in range(depth):
        x = block(x, state, f"net.0.b{k + 1}")
    edges = [(k * side // cells, -(-(k + 1) * side // cells)) for k in range(cells)]
    x = np.array([[x[a:b, c:d].mean((0, 1)) for c, d in edges] for a, b in edges])
    for k in range(depth):
        x = block(x, state, f"net.2.b{k + 1}")
    x = silu(x.reshape(cells * cells, -1) @ state["readout.0.weight"].T + state["readout.0.bias"])
    return x @ state["readout.2.weight"].T + state["readout.2.bias"]


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "side", "cells", "choices"),
    [
        (8, 5, 4, 2, {"depth": 1}),
        (12, 6, 5, 2, {"depth": 2}),
        (6, 9, 6, 3, {"depth": 3, "width": 10}),
    ],
)
def test_is_the_papers_equations(vision_dim, text_dim, side, cells, choices):
    torch.manual_seed(0)
    bridge = CAbstractor(vision_dim, text_dim, grid=(side, side), num_tokens=cells**2, **choices).double()
    for p in bridge.parameters():  # norms and biases away from one and zero, where a slip would not show
        torch.nn.init.normal_(p, std=0.5)
    patches = torch.randn(2, side * side, vision_dim, dtype=torch.float64)
    state = {name: value.numpy() for name, value in bridge.state_dict().items()}
    expected = np.stack([abstract(x, state, side, cells, choices["depth"]) for x in patches.numpy()])
    torch.testing.assert_close(bridge(patches), torch.from_numpy(expected), rtol=1e-10, atol=1e-10)


def test_two_stages_of_the_published_size_have_its_parameters():
    bridge = CAbstractor(1024, 2048, grid=(24, 24), num_tokens=144, depth=3)
    assert sum(p.numel() for p in bridge.net.parameters()) == pytest.approx(15.8e6, rel=0.01)


@pytest.mark.parametrize(("choices", "message"), [({"depth": 0}, "depth=0 is"), ({"width": 0}, "width=0 is")])
def test_counts_below_one_are_refused(choices, message):
    with pytest.raises(ValueError, match=message + r" less than 1\. Set bridge\."):
        CAbstractor(8, 5, grid=(4, 4), num_tokens=4, **({"depth": 1} | choices))
