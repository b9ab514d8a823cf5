"""Attention in which neither keys nor values are made, against that in which they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bridgelab.bridge.attention import absorbing_pays, attend, attend_absorbed, watched

counts = st.integers(1, 12)


def given_at(batch, queries, keys, heads, dim, channels, shared=False):
    torch.manual_seed(0)
    width = heads * dim
    sizes = [
        (1 if shared else batch, queries, width),
        (batch, keys, channels),
        (width, channels),
        (width,),
        (width, channels),
        (width,),
    ]
    return [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]


def made(q, x, key, key_bias, value, value_bias, heads):
    parts = (q.expand(len(x), -1, -1), F.linear(x, key, key_bias), F.linear(x, value, value_bias))
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
    return attend(q, k, v, patches=x.shape[1]).transpose(1, 2).flatten(2)


def absorbed(q, x, key, key_bias, value, value_bias, heads):
    return attend_absorbed(q, (key, key_bias), (value, value_bias), x, heads)


@pytest.mark.parametrize("shared", [False, True])
@given(*[counts] * 6)
def test_tokens_gradients_and_weights_are_the_same(shared, batch, queries, keys, heads, dim, channels):
    parts = given_at(batch, queries, keys, heads, dim, channels, shared)
    with watched() as seen:
        ours, theirs = absorbed(*parts, heads), made(*parts, heads)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(*seen, rtol=1e-10, atol=1e-10)
    onto = torch.randn_like(ours)
    for own, other in zip(
        torch.autograd.grad(ours, parts, onto), torch.autograd.grad(theirs, parts, onto), strict=True
    ):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)


def test_in_bfloat16_it_is_as_near():
    parts = given_at(3, 4, 20, 2, 8, 24)
    exact = made(*parts, 2)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (way(*(part.float() for part in parts), 2) for way in (absorbed, made))
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert (ours - exact).norm() < 1.5 * (theirs - exact).norm() < 0.05 * exact.norm()


@given(st.integers(2, 12), *[counts] * 5)
def test_it_pays_where_it_multiplies_less(batch, queries, keys, heads, dim, channels):
    parts = given_at(batch, queries, keys, heads, dim, channels)
    products = []
    for way in (absorbed, made):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            way(*parts, heads)
        products.append(counter.get_total_flops())
    products[0] -= 2 * batch * heads * queries * dim  # of the keys' bias, a product by its form alone
    assert absorbing_pays(queries, keys, dim, channels) == (products[0] < products[1])
