"""MobileVLM V2's projector against loops in float64, with the pool where its authors have it: behind the whole MLP."""

import numpy as np
import pytest
import torch
from scipy.special import erf

from bridgelab.bridge.ldp_v2 import LDPv2
from bridgelab.bridge.pooled import Pooled


def projected(patches, state, side, cells):
    """One image, patches [N, D]."""
    x = patches @ state["mlp.0.weight"].T + state["mlp.0.bias"]
    x = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    x = (x @ state["mlp.2.weight"].T + state["mlp.2.bias"]).reshape(side, side, -1)
    edges = [(k * side // cells, -(-(k + 1) * side // cells)) for k in range(cells)]
    pooled = np.array([[x[a:b, c:d].mean((0, 1)) for c, d in edges] for a, b in edges])
    tokens = pooled + state["peg.bias"]
    for r, c, i, j in np.ndindex(cells, cells, 3, 3):
        if 0 <= r + i - 1 < cells and 0 <= c + j - 1 < cells:
            tokens[r, c] += state["peg.weight"][:, 0, i, j] * pooled[r + i - 1, c + j - 1]
    return tokens.reshape(cells**2, -1)


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "side", "cells", "choices"),
    [(6, 5, 4, 2, {}), (3, 7, 5, 3, {"hidden_dim": 4}), (4, 4, 3, 3, {}), (5, 3, 4, 1, {"hidden_dim": 1})],
)
def test_is_the_papers_equations(vision_dim, text_dim, side, cells, choices):
    torch.manual_seed(0)
    bridge = LDPv2(vision_dim, text_dim, grid=(side, side), num_tokens=cells**2, **choices).double()
    patches = torch.randn(2, side**2, vision_dim, dtype=torch.float64)
    state = {name: value.numpy() for name, value in bridge.state_dict().items()}
    expected = np.stack([projected(x, state, side, cells) for x in patches.numpy()])
    torch.testing.assert_close(bridge(patches), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_without_its_convolution_and_hidden_layer_it_is_the_pooled_linear_bridge():
    bridge = LDPv2(6, 5, grid=(4, 4), num_tokens=4)
    bridge.mlp[1] = torch.nn.Identity()
    torch.nn.init.zeros_(bridge.peg.weight)
    torch.nn.init.zeros_(bridge.peg.bias)
    pooled = Pooled(6, 5, grid=(4, 4), num_tokens=4, projector="linear")
    linear, (first, _, second) = pooled.project.mm_projector, bridge.mlp
    linear.weight.data = second.weight @ first.weight
    linear.bias.data = second.weight @ first.bias + second.bias
    patches = torch.randn(2, 16, 6)
    torch.testing.assert_close(bridge(patches), pooled(patches))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_tokens": 5}, r"num_tokens=5 is not a square.*bridge\.num_tokens to 4 or 9"),
        ({"hidden_dim": 0}, r"hidden_dim=0 is less than 1\. Set bridge\.hidden_dim"),
        ({"grid": (2, 8)}, r"grid=2 x 8 is not square"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        LDPv2(6, 5, **({"grid": (4, 4), "num_tokens": 4} | choices))
