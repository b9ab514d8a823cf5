import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bridgelab.speed.matmul_bound import filling, products_of


@pytest.fixture
def step():
    torch.manual_seed(0)
    layer = torch.nn.Linear(48, 64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    x = torch.randn(8, 5, 48, requires_grad=True)

    def run():
        loss = torch.bmm(layer(x), torch.ones(8, 64, 3)).square().sum()
        loss.backward()
        optimizer.step()

    return run


def test_the_products_of_a_step_are_all_there_and_nothing_else(step):
    """Against torch's own count of operations: what is run again costs as many as the step."""
    with FlopCounterMode(display=False) as whole:
        step()
    again = products_of(step)
    with FlopCounterMode(display=False) as replayed:
        again()
    assert replayed.get_total_flops() == whole.get_total_flops() > 0
    seen = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    with seen:
        again()
    names = {event.key for event in seen.key_averages()}
    assert names & {"aten::mm", "aten::bmm"}
    assert not names & {"aten::sum", "aten::add_", "aten::pow"}


def test_shares_are_of_the_whole(step):
    shares = filling(step)
    assert set(shares) == {"products", "copies", "operations", "between"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert min(shares.values()) >= 0
    sleepy = filling(lambda: (step(), time.sleep(0.05)))
    assert sleepy["between"] > 0.5
