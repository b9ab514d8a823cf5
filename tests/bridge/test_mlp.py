import math

import pytest
import torch

from bridgelab.bridge.mlp import MLP


@pytest.mark.parametrize("hidden_dim", [None, 1, 11])
def test_is_the_closed_form(hidden_dim):
    bridge = MLP(6, 5, hidden_dim=hidden_dim).double()
    patches = torch.randn(2, 3, 6, dtype=torch.float64)
    first, _, second = bridge.mm_projector
    hidden = torch.einsum("hd,bnd->bnh", first.weight, patches) + first.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))  # exact GELU, not tanh's
    expected = torch.einsum("th,bnh->bnt", second.weight, hidden) + second.bias
    torch.testing.assert_close(bridge(patches), expected, rtol=1e-12, atol=1e-12)
    assert hidden.shape[-1] == (hidden_dim or 5)


def test_keys_are_llavas():
    names = {"mm_projector.0.weight", "mm_projector.0.bias", "mm_projector.2.weight", "mm_projector.2.bias"}
    assert set(MLP(6, 5).state_dict()) == names


@pytest.mark.parametrize("hidden_dim", [0, -3])
def test_refuses_no_hidden_unit(hidden_dim):
    with pytest.raises(ValueError, match=rf"hidden_dim={hidden_dim} .*at least 1"):
        MLP(6, 5, hidden_dim=hidden_dim)
