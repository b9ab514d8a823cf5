import pytest
import torch

from bridgelab.optim import muon
from bridgelab.optim.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(8, 8), (6, 12), (12, 6)])
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrices))
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
def test_steps_are_those_of_torch_within_its_bfloat16(as_on_a_gpu, monkeypatch):
    if as_on_a_gpu:  # one matrix at a time, as large ones
        monkeypatch.setattr(muon, "in_bfloat16", lambda _: True)
        monkeypatch.setattr(muon, "SLICE", 128)
        assert orthogonalize(torch.ones(1, 4, 4)).dtype == torch.bfloat16
    start = [
        torch.randn(s, generator=torch.Generator().manual_seed(k))
        for k, s in enumerate([(16, 8), (8, 16), (16, 8)])
    ]
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    optimizers = (
        Muon(ours, lr=0.05, momentum=0.9),
        torch.optim.Muon(theirs, lr=0.05, momentum=0.9, weight_decay=0.0),
    )
    draw = torch.Generator().manual_seed(9)
    for _ in range(4):
        gradients = [torch.randn(p.shape, generator=draw) for p in start]
        for params, optimizer in zip((ours, theirs), optimizers, strict=True):
            for p, gradient in zip(params, gradients, strict=True):
                p.grad = gradient.clone()
            optimizer.step()
    for a, b, s in zip(ours, theirs, start, strict=True):
        moved = (b - s).norm()
        assert (a - b).norm() < 0.03 * moved


def test_a_convolution_steps_as_the_matrix_of_its_windows_does():
    start, gradient = torch.randn(2, 6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    convolution, matrix = start.clone().requires_grad_(), start.flatten(1).clone().requires_grad_()
    convolution.grad, matrix.grad = gradient, gradient.flatten(1)
    Muon([convolution]).step()
    Muon([matrix]).step()
    assert torch.equal(convolution.flatten(1), matrix)
    assert not torch.equal(convolution, start)


def test_a_matrix_without_a_gradient_stays():
    still = torch.ones(4, 4, requires_grad=True)
    Muon([still]).step()
    assert torch.equal(still, torch.ones(4, 4))
