import pytest
import torch

from bridgelab.bridge.blind import Blind


def test_gives_its_prompt_to_every_image():
    bridge = Blind(6, 5, num_tokens=3)
    tokens = bridge(torch.full((4, 7, 6), torch.nan))
    assert torch.equal(tokens, torch.stack([bridge.prompt] * 4))


def test_gradient_is_the_sum_over_the_batch():
    bridge = Blind(6, 5, num_tokens=3)
    weights = torch.randn(4, 3, 5)
    (bridge(torch.zeros(4, 7, 6)) * weights).sum().backward()
    torch.testing.assert_close(bridge.prompt.grad, weights.sum(0))


@pytest.mark.parametrize("num_tokens", [0, -1])
def test_refuses_no_token(num_tokens):
    with pytest.raises(ValueError, match=f"num_tokens={num_tokens} .*at least 1"):
        Blind(6, 5, num_tokens=num_tokens)
