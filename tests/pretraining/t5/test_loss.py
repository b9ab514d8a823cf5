import numpy as np
import pytest
import torch
from tiny_t5 import TINY
from torch.nn import functional as F

from bridgelab.pretraining.t5.batches import collate
from bridgelab.pretraining.t5.lessons import lessons
from bridgelab.pretraining.t5.loss import blur_scenes, loss_and_hits
from bridgelab.pretraining.t5.model import make_model, make_tokenizer

SHARES = {"question": 10, "caption": 1, "look_up": 2}


@pytest.fixture(scope="module")
def chunk():
    return lessons("train", 0, 0, scenes=20, shares=SHARES)


def test_loss_is_the_mean_cross_entropy_over_real_tokens(chunk):
    tokenizer = make_tokenizer()
    model = make_model(TINY, tokenizer.get_vocab(), 0)
    batch = collate(chunk[:8], "compact", tokenizer.get_vocab(), np.random.default_rng(0))
    loss, _, traced = loss_and_hits(model, batch)
    assert traced is None
    total, count = 0.0, 0
    for k in range(8):  # one at a time, cut to its own length, embeddings added in a loop
        groups = batch["prefix"][k]
        rows = [model.shared.weight[[i for i in g.tolist() if i >= 0]].sum(0) for g in groups]
        prompt, target = (batch[n][k][batch[n][k] != 0] for n in ("prompt", "target"))
        embedded = torch.cat([torch.stack(rows), model.shared(prompt)])[None]
        logits = model(inputs_embeds=embedded, labels=target[None]).logits[0]
        total += F.cross_entropy(logits, target, reduction="sum").item()
        count += len(target)
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_blur_keeps_the_size_and_mixes_by_its_share():
    """Against its own definition: what is left of the signal, and of the noise, along and across the prefix."""
    prefix = torch.randn(4000, 3, 16) * 2.5
    assert torch.equal(blur_scenes(prefix, 0.0, torch.Generator()), prefix)
    blurred = blur_scenes(prefix, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(blurred, blur_scenes(prefix, 0.5, torch.Generator().manual_seed(0)))
    touched = (blurred != prefix).flatten(1).any(1)
    assert touched.float().mean() == pytest.approx(0.5, abs=0.03)
    assert blurred[touched].square().mean().sqrt() == pytest.approx(2.5, rel=0.03)
    # An estimate of each a.
    kept = (blurred * prefix).sum((1, 2))[touched] / prefix.square().sum((1, 2))[touched]
    assert kept.mean() == pytest.approx(0.5, abs=0.03)  # uniform in [0, 1]
    assert kept.var() == pytest.approx(1 / 12 + (2 / 3) / 48, abs=0.02)  # and the noise along 48 dimensions
