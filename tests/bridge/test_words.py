import pytest
import torch

from bridgelab.bridge.words import Words


def test_plain_ceiling_changes_nothing_and_has_nothing_to_train():
    bridge, words = Words(5, 5, num_tokens=0), torch.randn(2, 7, 5)
    assert torch.equal(bridge(words), words)
    assert not list(bridge.parameters())


def test_prompt_stands_before_the_words():
    bridge, words = Words(5, 5, num_tokens=3), torch.randn(2, 7, 5)
    tokens = bridge(words)
    assert torch.equal(tokens[:, 3:], words)
    assert torch.equal(tokens[:, :3], torch.stack([bridge.prompt] * 2))


def test_refuses_patches_that_are_no_words():
    with pytest.raises(ValueError, match=r"vision_dim=6 differs from text_dim=5.*text\.dim"):
        Words(6, 5, num_tokens=0)


def test_refuses_fewer_than_no_tokens():
    with pytest.raises(ValueError, match="num_tokens=-1 is negative"):
        Words(5, 5, num_tokens=-1)


def test_refuses_a_form_that_there_is_not():
    with pytest.raises(
        ValueError, match=r"form='prose': must be one of as_given, patch_like\. Set bridge\.form"
    ):
        Words(5, 5, num_tokens=0, form="prose")
