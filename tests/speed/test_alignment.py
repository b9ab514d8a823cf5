import pytest
import torch

from bridgelab.speed import alignment
from bridgelab.speed.alignment import ALIGNMENT_COLUMNS, SIZES, alignment_rows, build_models

SMALL = SIZES[0]._replace(pairs=3, patches=5, words=6)


def test_ours_and_theirs_have_the_same_losses_and_gradients():
    ours, theirs, batch = build_models(SMALL, "cpu")
    batch["labels"][1, 3:] = -100
    expected = ours(batch)
    trained = [p for p in ours.parameters() if p.requires_grad]
    wanted = torch.autograd.grad(sum(expected.values()), trained)
    for model in theirs.values():
        losses = model(batch)
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], rtol=1e-4, atol=1e-4)
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in trained)
        found = torch.autograd.grad(sum(losses.values()), list(model.parameters()))
        assert sorted(g.norm().item() for g in found) == pytest.approx(
            sorted(g.norm().item() for g in wanted), rel=1e-2, abs=1e-3
        )


def test_a_row_has_the_ratio_of_what_was_measured(monkeypatch):
    monkeypatch.setattr(alignment, "SIZES", (SMALL,))
    (row,) = (dict(zip(ALIGNMENT_COLUMNS, row, strict=True)) for row in alignment_rows("cpu"))
    assert float(row["theirs/ours"]) == pytest.approx(
        float(row["theirs ms"]) / float(row["ours ms"]), rel=0.1
    )
    assert row["their attention"] in ("eager", "sdpa")
