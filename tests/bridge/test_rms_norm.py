"""RMSNorm against torch's own and against finite differences."""

import pytest
import torch
from torch.nn import functional as F

from bridgelab.bridge.rms_norm import RMSNorm, rms_normalize


@pytest.mark.parametrize("weighed", [True, False])
@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_is_torchs_in_both_directions(weighed, eps):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, dtype=torch.float64, requires_grad=True) if weighed else None
    ours, theirs = rms_normalize(x, weight, eps), F.rms_norm(x, (7,), weight, eps)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    onto, inputs = torch.randn_like(ours), [x, weight] if weighed else [x]
    for own, other in zip(
        torch.autograd.grad(ours, inputs, onto), torch.autograd.grad(theirs, inputs, onto), strict=True
    ):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, weight=None: rms_normalize(x, weight, eps), inputs)


def test_half_precision_is_computed_in_float32():
    x = 300 * torch.randn(4, 8, dtype=torch.float16).sign()  # whose squares float16 can't hold
    norm = RMSNorm(8, eps=1e-6).half()
    normed = norm(x.requires_grad_())
    torch.testing.assert_close(normed, x.detach().sign())
    (normed * x.detach()).sum().backward()
    torch.testing.assert_close(norm.weight.grad, 300 * torch.full((8,), 4, dtype=torch.float16))


def test_no_rows_have_no_gradient():
    norm = RMSNorm(8, eps=1e-6)
    norm(torch.zeros(0, 8)).sum().backward()
    assert torch.equal(norm.weight.grad, torch.zeros(8))
