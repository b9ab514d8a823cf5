import pytest
import torch

from bridgelab.bench.reference import HEADS, TIMES, Contest, contenders, contests, reference_row


def small(precision="fp32"):
    return [c for c in contests("cpu") if (c.size, c.precision) == ("ours", precision)]


def test_each_bridge_is_tried_at_its_own_size_and_at_the_published_one():
    found = {(c.name, c.size) for c in contests("cpu")}
    assert {("qformer", "ours"), ("qformer", "published"), ("perceiver_idefics2", "ours")} <= found
    assert TIMES >= 5
    assert not any(c.compiled for c in contests("cpu"))
    assert any(c.compiled for c in contests("cuda"))


@pytest.mark.parametrize("contest", small(), ids=lambda c: c.name)
def test_contenders_do_the_same_work(contest: Contest):
    ours, theirs, patches = contenders(contest, "cpu")
    expected = ours(patches)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, list(ours.parameters()), gradient)
    assert set(theirs) == {"eager", "sdpa"}
    for model in theirs.values():
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ours.parameters())
        tokens = model(patches)
        torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)
        found = torch.autograd.grad(tokens, list(model.parameters()), gradient)
        assert sorted(g.norm().item() for g in found) == pytest.approx(
            sorted(g.norm().item() for g in wanted), rel=1e-2, abs=1e-3
        )


@pytest.mark.parametrize("contest", small(), ids=lambda c: c.name)
def test_a_row_has_ratios_of_what_was_measured(contest: Contest):
    row = dict(zip(HEADS, reference_row(contest, "cpu"), strict=True))
    assert float(row["theirs/ours"]) == pytest.approx(
        float(row["theirs ms"]) / float(row["ours ms"]), rel=0.1
    )
    assert float(row["ours/products"]) > 0
    assert row["their attention"] in ("eager", "sdpa")
