"""Grouped attention against torch's kernel with repeated keys and values, and what is collected of its weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bridgelab.bridge.attention import attend, attention_over_patches

counts = st.integers(1, 6)


def tensors(batch, heads, groups, queries, keys, dim, dtype=torch.float64):
    torch.manual_seed(0)
    sizes = [(batch, heads, queries, dim), (batch, groups, keys, dim), (batch, groups, keys, dim)]
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def reference(q, k, v, mask=None):
    """Each group's keys and values repeated for its heads."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None, :])


@pytest.mark.parametrize("masked", [False, True])
@given(*[counts] * 6)
def test_is_torchs_in_values_and_gradients(masked, batch, per_group, groups, queries, keys, dim):
    q, k, v = tensors(batch, per_group * groups, groups, queries, keys, dim)
    mask = torch.rand(batch, keys) > 0.5 if masked else None
    if masked:
        mask[:, 0] = True  # at least one key to read
    ours, theirs = attend(q, k, v, mask), reference(q, k, v, mask)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    onto = torch.randn_like(ours)
    gradients, expected = (torch.autograd.grad(out, (q, k, v), onto) for out in (ours, theirs))
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-9)


@given(*[counts] * 6, st.booleans())
def test_weights_over_patches_are_collected(batch, per_group, groups, queries, keys, dim, words):
    q, k, v = tensors(batch, per_group * groups, groups, queries, keys + words, dim)
    with attention_over_patches() as collected:
        out = attend(q, k, v, patches=keys)
        attend(q, k, v)  # to no patches
    attend(q, k, v, patches=keys)
    (weights,) = collected
    assert weights.shape == (batch, per_group * groups, queries, keys)
    if words:
        assert (weights.sum(-1) < 1).all()
    else:
        values = v.repeat_interleave(per_group, dim=1)
        torch.testing.assert_close(weights @ values, out, rtol=1e-10, atol=1e-10)


def test_in_bfloat16_it_is_near():
    q, k, v = tensors(3, 4, 2, 5, 20, 8)
    exact = reference(q, k, v)
    half = attend(*(x.bfloat16() for x in (q, k, v)))
    assert half.dtype == torch.bfloat16
    assert (half - exact).norm() < 0.02 * exact.norm()


def test_dropout_keeps_the_mean():
    q, k, v = tensors(1, 1, 1, 1, 50, 4)
    v = torch.ones_like(v)
    torch.manual_seed(1)
    out = torch.stack([attend(q, k, v, dropout=0.5) for _ in range(400)])
    assert out.std() > 0.05
    assert out.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("mask", [None, "keys", "queries"])
def test_a_gpu_takes_a_fused_kernel(mask):
    q, k, v = tensors(2, 8, 4, 32, 256, 64)
    masks = {None: None, "keys": torch.rand(2, 256) > 0.5, "queries": torch.rand(2, 32, 256) > 0.5}
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]
    on_gpu = [one.detach().to("cuda", torch.bfloat16) for one in (q, k, v)]
    with sdpa_kernel(fused):  # fails if none of them takes it
        found = attend(*on_gpu, None if mask is None else masks[mask].cuda())
    wanted = attend(q, k, v, masks[mask])
    assert (found.cpu().double() - wanted).norm() < 0.02 * wanted.norm()
