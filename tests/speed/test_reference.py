import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bridgelab.bridge.d_abstractor import DAbstractor
from bridgelab.bridge.token_packer import TokenPacker
from bridgelab.speed import reference
from bridgelab.speed.cross_attention import Block
from bridgelab.speed.reference import (
    COLUMNS,
    TIMES,
    Idefics2,
    SpeedCase,
    build_models,
    kept_bytes,
    reference_row,
    speed_cases,
)


def small(precision="fp32"):
    return [c for c in speed_cases("cpu") if (c.size, c.precision) == ("ours", precision)]


def test_each_bridge_is_tried_at_its_own_size_and_at_the_published_one():
    found = {(c.name, c.size) for c in speed_cases("cpu")}
    assert {("qformer", "ours"), ("qformer", "published"), ("perceiver_idefics2", "ours")} <= found
    assert TIMES >= 5
    assert not any(c.compiled for c in speed_cases("cpu"))
    assert any(c.compiled for c in speed_cases("cuda"))


def smooth(model):
    """Return all parameters but those of sampled points: these start on patch centres, where interpolation has no derivative."""
    return [
        p
        for name, p in model.named_parameters()
        if "sampling_offsets" not in name and "reference_points" not in name
    ]


@pytest.mark.parametrize("case", small(), ids=lambda c: c.name)
def test_ours_and_theirs_do_the_same_work(case: SpeedCase):
    ours, theirs, patches = build_models(case, "cpu")
    expected = ours(patches)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, smooth(ours), gradient)
    assert set(theirs) == {"eager", "sdpa"}
    for model in theirs.values():
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ours.parameters())
        tokens = model(patches)
        torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)
        found = torch.autograd.grad(tokens, smooth(model), gradient)
        assert sorted(g.norm().item() for g in found) == pytest.approx(
            sorted(g.norm().item() for g in wanted), rel=1e-2, abs=1e-3
        )


@pytest.mark.parametrize("case", small(), ids=lambda c: c.name)
def test_a_row_has_ratios_of_what_was_measured(case: SpeedCase, monkeypatch):
    kept = []

    def hundredfold(step, model):  # so that a tenth of a megabyte is little of it
        kept.append(100 * kept_bytes(step, model))
        return kept[-1]

    monkeypatch.setattr(reference, "kept_bytes", hundredfold)
    row = dict(zip(COLUMNS, reference_row(case, "cpu"), strict=True))
    assert float(row["theirs/ours"]) == pytest.approx(
        float(row["theirs ms"]) / float(row["ours ms"]), rel=0.1
    )
    assert float(row["ours/products"]) > 0
    assert row["their attention"] in ("eager", "sdpa")
    # The D-Abstractor keeps its weights over all patches, and the reference the sampled values. A block of cross-attention and
    # TokenPacker keep what the reference does but for one percent.
    more = {DAbstractor: 1.2, Block: 1.02, TokenPacker: 1.01}.get(case.ours, 1.0)
    assert 0 < float(row["ours MB"]) <= more * float(row["theirs MB"])
    assert row["ours MB"] == f"{kept[0] / 1e6:.1f}"


class TakesFrom(TorchDispatchMode):
    """The devices of all tensors that operations take."""

    def __init__(self):
        super().__init__()
        self.devices = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.devices |= {
            one.device.type for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)
        }
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", [c for c in small() if c.theirs is not Idefics2], ids=lambda c: c.name)
def test_no_step_copies_from_another_device(case: SpeedCase):
    """The meta device stands for a GPU. Idefics2's own code cannot run there, as it looks at values of its mask."""
    _, theirs, patches = build_models(case, "meta")
    for model in theirs.values():
        with TakesFrom() as taken:
            model(patches)
        assert taken.devices == {"meta"}


def test_what_is_kept_for_the_backward_is_counted_once_and_without_weights():
    layer = torch.nn.Linear(6, 5, bias=False)
    x = torch.randn(7, 6, requires_grad=True)
    # The product keeps x and the weight, the square its input, and the last product what scales the square.
    expected = 4 * (7 * 6 + 2 * 7 * 5)
    assert kept_bytes(lambda: (layer(x) ** 2 * torch.ones(7, 5)).sum().backward(), layer) == expected
