import pytest
import torch
from torch import nn

from bridgelab.bridge.linear import Linear
from bridgelab.explain.occlusion import occlusion_effect, windows
from bridgelab.model import BridgedModel


class LooksAtOne(nn.Module):
    """A planted bridge that reads patch 5 alone."""

    def __init__(self, vision_dim, text_dim):
        super().__init__()
        self.net = nn.Linear(vision_dim, text_dim)

    def forward(self, patches, text=None, text_mask=None):
        return self.net(patches[:, 5:6])


@pytest.fixture
def example(tiny_text):
    torch.manual_seed(0)
    prompt, mask = tiny_text.tokenize(["what is it ?"])
    labels, real = tiny_text.tokenize(["red cube"])
    return {
        "patches": torch.randn(1, 12, 6),
        "prompt": prompt,
        "prompt_mask": mask,
        "labels": labels.masked_fill(~real, -100),
    }


def planted(text, bridge, example):
    mean = torch.full((6,), 0.5)
    model = BridgedModel(bridge, text, mean=mean, std=torch.ones(6))
    model.init_output_scale(example)
    return model


def test_only_the_patch_that_is_read_is_missed(tiny_text, example):
    model = planted(tiny_text, LooksAtOne(6, tiny_text.dim), example)
    result = occlusion_effect(model, example, torch.eye(12, dtype=torch.bool))
    assert result[5].abs() > 1e-4
    assert result[torch.arange(12) != 5].abs().max() < 1e-5


def test_it_is_the_fall_of_the_likelihood_and_groups_go_together(tiny_text, example):
    model = planted(tiny_text, Linear(6, tiny_text.dim), example)
    # More than fit into one batch.
    groups = torch.rand(70, 12, generator=torch.Generator().manual_seed(1)) < 0.3
    result = occlusion_effect(model, example, groups)
    for group, fall in zip(groups, result, strict=True):
        altered = example["patches"].clone()
        altered[0, group] = 0.5
        expected = model.likelihood(example) - model.likelihood(example | {"patches": altered})
        assert fall.item() == pytest.approx(expected.item(), abs=1e-4)


def test_without_moments_the_mean_patch_is_the_examples_own(tiny_text, example):
    """As of converted weights: equal patches are their own mean, so nothing changes."""
    model = BridgedModel(LooksAtOne(6, tiny_text.dim), tiny_text)
    model.init_output_scale(example)
    equal = example | {"patches": example["patches"][:, :1].repeat(1, 12, 1)}
    assert occlusion_effect(model, equal, torch.eye(12, dtype=torch.bool)).abs().max() < 1e-5
    altered = example["patches"].clone()
    altered[0, 5] = altered[0].mean(0)
    (fall,) = occlusion_effect(model, example, torch.eye(12, dtype=torch.bool)[5:6])
    expected = model.likelihood(example) - model.likelihood(example | {"patches": altered})
    assert fall.item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(expected.item()) > 1e-4


def test_windows_are_cut_off_at_the_edge():
    result = windows((3, 4))
    assert result[0].nonzero().flatten().tolist() == [0, 1, 4, 5]
    assert result[5].nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert torch.equal(windows((3, 4), reach=0), torch.eye(12, dtype=torch.bool))


def test_bad_input(tiny_text, example):
    model = planted(tiny_text, Linear(6, tiny_text.dim), example)
    with pytest.raises(ValueError, match="groups of 11 patches for an example of 12"):
        occlusion_effect(model, example, torch.ones(1, 11, dtype=torch.bool))
    two = {name: torch.cat([value, value]) for name, value in example.items()}
    with pytest.raises(ValueError, match="2 examples: patches are replaced in one at a time"):
        occlusion_effect(model, two, torch.ones(1, 12, dtype=torch.bool))
