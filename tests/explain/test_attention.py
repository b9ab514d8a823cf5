import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.bridge.attention import attend, attention_over_patches
from bridgelab.bridge.perceiver import PerceiverResampler
from bridgelab.bridge.perceiver_idefics2 import Idefics2Perceiver
from bridgelab.bridge.perceiver_qwen import QwenResampler
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.token_packer import TokenPacker
from bridgelab.explain.attention import attention, patch_attention
from bridgelab.model import BridgedModel


class Attends(nn.Module):
    """A planted bridge: one query attends to the patches marked in a channel and to three words, and to nothing else."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel

    def forward(self, patches, text=None, text_mask=None):
        mark = patches[..., self.channel]
        keys = torch.cat([100 * mark - 100, torch.zeros(len(mark), 3)], 1)[:, None, :, None]
        query = torch.ones(len(patches), 1, 1, 1)
        return attend(query, keys, keys, patches=mark.shape[1])[:, 0]


def test_a_bridge_that_attends_to_visited_objects_has_all_its_mass_there(planted, adds):
    result = attention(adds(Attends(1)), planted.prepared, planted.regions)
    assert result.visited.value == pytest.approx(1)
    assert result.background.value == pytest.approx(0)


def test_a_bridge_that_attends_at_random_has_the_base_rate_there(planted, adds):
    result = attention(adds(Attends(2)), planted.prepared, planted.regions)
    base = planted.regions[planted.regions[:, 0].any(1), 0].mean()
    low, high = result.visited.interval
    assert low < base < high
    assert result.visited.value + result.others.value + result.background.value == pytest.approx(1)


def test_without_attention_there_is_none(planted, adds, reads):
    assert attention(adds(reads(1)), planted.prepared, planted.regions) is None


def test_weights_are_those_of_the_products():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 3, 5), torch.randn(2, 2, 7, 5), torch.randn(2, 2, 7, 5)
    plain = attend(q, k, v)
    with attention_over_patches() as seen:
        mixed = attend(q, k, v, patches=6)
        attend(q, k, v)  # no patches among the keys
    with torch.no_grad():
        attend(q, k, v, patches=6)  # outside `watched`
    assert torch.equal(mixed, plain)
    (weights,) = seen
    keys = k.double().repeat_interleave(2, 1)
    expected = (q.double() @ keys.mT / 5**0.5).softmax(-1)[..., :6]
    torch.testing.assert_close(weights.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("bridge", "layers"),
    [
        (QFormer(6, 16, num_queries=3, depth=3, width=8, num_heads=2, conditioning="question"), 2),
        (PerceiverResampler(6, 16, num_queries=3, depth=2, num_heads=2, conditioning="question"), 2),
        (
            Idefics2Perceiver(
                6, 16, num_queries=3, depth=2, num_heads=4, num_kv_heads=2, head_dim=4, conditioning="question"
            ),
            2,
        ),
    ],
    ids=["qformer", "perceiver", "idefics2"],
)  # fmt: skip
def test_every_bridge_that_looks_at_patches_says_so(tiny_text, bridge, layers):
    """Words and queries outnumber patches, so patches cannot be recognised by size."""
    prompt, mask = tiny_text.tokenize(["what is it ? red blue cube sphere a there"])
    batch = {
        "patches": torch.randn(2, 5, 6),
        "question": prompt.repeat(2, 1),
        "question_mask": mask.repeat(2, 1),
    }
    model = BridgedModel(bridge, tiny_text, mean=torch.zeros(6), std=torch.ones(6))
    model.init_output_scale(batch)
    with attention_over_patches() as seen:
        model.prefix(batch)
    assert [tuple(weights.shape)[-1] for weights in seen] == [5] * layers
    shares = patch_attention(model, batch)
    assert shares.shape == (2, 5)
    assert shares.sum(1) == pytest.approx(1)
    # The more of the first patch's key is in the last query, the more attention it gets.
    assert np.ptp(shares) > 0


@pytest.mark.parametrize(
    "bridge",
    [
        QwenResampler(6, 16, grid=(2, 2), num_queries=4, num_heads=2),
        TokenPacker(6, 16, grid=(2, 2), ratio=2, num_heads=2),
    ],
    ids=["qwen", "token_packer"],
)
def test_a_class_token_that_is_left_out_gets_no_attention(tiny_text, bridge):
    prompt, mask = tiny_text.tokenize(["what is it ?"])
    batch = {"patches": torch.randn(2, 5, 6), "prompt": prompt.repeat(2, 1), "prompt_mask": mask.repeat(2, 1)}
    model = BridgedModel(bridge, tiny_text)
    model.init_output_scale(batch)
    shares = patch_attention(model, batch)
    assert shares.shape == (2, 5)
    assert shares[:, 0].tolist() == [0, 0]
    assert shares[:, 1:].min() > 0
    assert shares.sum(1) == pytest.approx(1)
