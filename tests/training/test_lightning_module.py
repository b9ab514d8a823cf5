from types import SimpleNamespace

import pytest
import torch
from tiny_training import model_and_batches
from torch import nn
from torch.optim import AdamW

from bridgelab.optim.muon_adamw import MuonAdamW
from bridgelab.optim.parameter_groups import parameter_groups
from bridgelab.training.lightning_module import BridgeTraining


@pytest.mark.parametrize(("world", "adapt"), [(2, "none"), (4, "none"), (2, "lora"), (2, "prompt")])
def test_several_processes_take_the_steps_of_one(tiny_text, world, adapt, monkeypatch):
    """The average of the processes' gradients and twenty steps of AdamW with it, against one process; in float64 but for the
    T5's norms, which are in float32."""

    def steps(world, number=20):
        model, _ = model_and_batches(tiny_text, adapt=adapt)
        model = model.double()
        model._frozen_encoder = None if adapt != "none" else model._frozen_encoder  # it is in float32
        parts = []
        for rank in range(world):
            _, batches = model_and_batches(tiny_text, steps=number)
            batches.sampler.shard(rank, world)
            parts.append(iter(batches))
        optimizer = AdamW(parameter_groups(model), lr=0.01)
        first = None
        for _ in range(number):
            optimizer.zero_grad()
            for batch in map(next, parts):
                floating = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}
                with monkeypatch.context() as patched:
                    patched.setattr(torch.Tensor, "float", torch.Tensor.double)
                    (model(floating) / world).backward()  # DDP averages
            trained = [p for p in model.parameters() if p.requires_grad]
            first = first or [p.grad.clone() for p in trained]
            optimizer.step()
        return first, [p.detach() for p in trained]

    for one, several in zip(steps(1), steps(world), strict=True):
        for a, b in zip(one, several, strict=True):
            assert (b - a).norm() <= 1e-6 * a.norm()


def test_each_of_several_losses_is_logged_over_the_parts_of_a_batch_and_over_all_processes(monkeypatch):
    module = BridgeTraining(nn.Identity(), optimizer=None, schedule=None, identity={})
    logged = {}
    monkeypatch.setattr(BridgeTraining, "trainer", SimpleNamespace(world_size=2))
    monkeypatch.setattr(module, "log", lambda name, value, **how: logged.update({name: (float(value), how)}))
    for itc, itg in ((1.0, 5.0), (2.0, 4.0)):  # the model returns what it is given
        assert module.training_step({"itc": torch.tensor(itc), "itg": torch.tensor(itg)}) == 6
    means = {"train/itc": 1.5, "train/itg": 4.5, "train/loss": 6}
    assert {name: value for name, (value, _) in logged.items()} == means | {"step": 1}
    assert all(logged[name][1]["sync_dist"] for name in means)


def test_parameters_are_grouped_by_kind():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(torch.zeros(2, 3))
            self.positions = nn.Embedding(4, 3)
            self.linear = nn.Linear(3, 5)
            self.conv, self.depthwise = nn.Conv2d(3, 5, 1), nn.Conv2d(4, 4, 3, groups=4)
            self.proj = nn.Parameter(torch.zeros(5, 5))
            self.norm = nn.LayerNorm(5)
            self.still = nn.Linear(3, 5).requires_grad_(False)

    bridge = Mixed()
    found = parameter_groups(bridge)
    names = {id(p): name for name, p in bridge.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in found] == [
        ["linear.weight", "conv.weight"],
        ["proj"],
        ["queries", "positions.weight", "depthwise.weight"],
        ["linear.bias", "conv.bias", "depthwise.bias", "norm.weight", "norm.bias"],
    ]
    assert [bool(group.get("matrix")) for group in found] == [True, True, False, False]


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5)])
def test_muon_steps_a_bare_projection_as_the_weight_of_a_linear_layer(rows, columns):
    linear, bare = nn.Linear(rows, columns, bias=False), nn.Module()
    bare.proj = nn.Parameter(linear.weight.detach().T.clone())
    linear.weight.grad = torch.randn(columns, rows, generator=torch.Generator().manual_seed(0))
    bare.proj.grad = linear.weight.grad.T.clone()
    for model in (linear, bare):
        MuonAdamW(parameter_groups(model), lr=0.1).step()
    torch.testing.assert_close(bare.proj, linear.weight.T)
