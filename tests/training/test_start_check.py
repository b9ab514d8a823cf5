import pytest
import torch
from torch import nn

from bridgelab.bridge.linear import Linear
from bridgelab.bridge.qformer import QFormer
from bridgelab.model import BridgedModel
from bridgelab.training.start_check import check_start


@pytest.fixture
def batch(tiny_text):
    torch.manual_seed(0)
    prompt, mask = tiny_text.tokenize(["what is it", "is there a cube ?"])
    labels = torch.tensor([[5, 1], [6, 1]])
    return {"patches": torch.randn(2, 5, 6), "prompt": prompt, "prompt_mask": mask, "labels": labels}


def started(bridge, text, batch):
    model = BridgedModel(bridge, text)
    model.init_output_scale(batch)
    return model


@pytest.fixture
def qformer(tiny_text):
    torch.manual_seed(0)
    return QFormer(6, tiny_text.dim, num_queries=3, depth=2, width=8, num_heads=2)


def test_bridges_as_they_are_may_start(qformer, tiny_text, batch):
    for bridge in (qformer, Linear(6, tiny_text.dim)):
        model = started(bridge, tiny_text, batch)
        check_start(model, batch)
        assert all(p.grad is None for p in model.parameters())


def test_queries_that_start_alike_are_refused(qformer, tiny_text, batch):
    nn.init.ones_(qformer.query_tokens)
    with pytest.raises(ValueError, match="queries that start alike stay alike"):
        check_start(started(qformer, tiny_text, batch), batch)


def test_a_huge_first_gradient_is_refused(qformer, tiny_text, batch):
    with torch.no_grad():  # nearly zero, so that a LayerNorm with eps 1e-12 blows the gradient up
        qformer.query_tokens.mul_(1e-7)
    with pytest.raises(ValueError, match=r"first gradient's norm is .* between 1e-08 and 10000"):
        check_start(started(qformer, tiny_text, batch), batch)


def test_a_gradient_that_is_nothing_is_refused(tiny_text, batch):
    bridge = Linear(6, tiny_text.dim)
    with torch.no_grad():
        bridge.mm_projector.weight.zero_()

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = bridge

        def forward(self, patches, text=None, text_mask=None):
            return 1.0 + 0.0 * self.inner(patches)

    with pytest.raises(ValueError, match="first gradient's norm is 0"):
        check_start(started(Cut(), tiny_text, batch), batch)
