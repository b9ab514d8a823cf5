import pytest
import torch

from bridgelab.optim.muon import Muon
from bridgelab.optim.muon_adamw import MuonAdamW

SHAPES = {"matrix": (6, 4), "queries": (3, 4), "bias": (4,)}


def parameters():
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw).requires_grad_() for name, shape in SHAPES.items()}


def groups(params):
    return [
        {"params": [params["matrix"]], "matrix": True},
        {"params": [params["queries"]]},
        {"params": [params["bias"]], "weight_decay": 0.0},
    ]


def run(params, optimizers, steps, first=0):
    for k in range(first, first + steps):
        for p in params.values():
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * k + p.numel()))
        for optimizer in optimizers:
            optimizer.step()


def assert_same(ours, theirs):
    for name in SHAPES:
        torch.testing.assert_close(ours[name], theirs[name], atol=0, rtol=0, msg=name)


def test_each_part_steps_as_it_does_alone():
    ours, theirs = parameters(), parameters()
    alone = [
        Muon([theirs["matrix"]], lr=0.02, momentum=0.9),
        torch.optim.AdamW(groups(theirs)[1:], lr=0.005, betas=(0.8, 0.9), weight_decay=0.1),
    ]
    combined = MuonAdamW(
        groups(ours), lr=0.02, adamw_ratio=0.25, momentum=0.9, betas=(0.8, 0.9), weight_decay=0.1
    )
    run(ours, [combined], 4)
    run(theirs, alone, 4)
    assert_same(ours, theirs)


def test_a_saved_state_goes_on():
    uninterrupted, resumed = parameters(), parameters()
    run(uninterrupted, [MuonAdamW(groups(uninterrupted), lr=0.02)], 6)
    first = MuonAdamW(groups(resumed), lr=0.02)
    run(resumed, [first], 3)
    second = MuonAdamW(groups(resumed), lr=0.5)
    second.load_state_dict(first.state_dict())
    run(resumed, [second], 3, first=3)
    assert_same(resumed, uninterrupted)


@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 3)])
def test_one_part_may_be_empty(kept):
    params, before = parameters(), parameters()
    run(params, [MuonAdamW(groups(params)[kept], lr=0.02)], 1)
    moved = [name for name in SHAPES if not torch.equal(params[name], before[name])]
    assert moved == list(SHAPES)[kept]


def test_a_schedule_steps_both_rates():
    optimizer = MuonAdamW(groups(parameters()), lr=0.1, adamw_ratio=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.025, 0.025]


def test_nothing_to_train():
    with pytest.raises(ValueError, match="empty parameter list"):
        MuonAdamW([], lr=0.1)
