"""Idefics2's connector against transformers' own, with the same weights."""

import pytest
import torch
from torch import nn
from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig
from transformers.models.idefics2.modeling_idefics2 import (
    Idefics2MLP,
    Idefics2PerceiverResampler,
    Idefics2RMSNorm,
)

from bridgelab.bridge.perceiver_idefics2 import Idefics2Perceiver

SIZES = [
    (10, 8, {"num_queries": 3, "depth": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4}),
    (
        7,
        12,
        {"num_queries": 4, "depth": 3, "num_heads": 4, "num_kv_heads": 2, "head_dim": 5, "hidden_dim": 9},
    ),
    (16, 6, {"num_queries": 5, "depth": 2, "num_heads": 3, "num_kv_heads": 3, "head_dim": 2, "eps": 0.1}),
]
PUBLISHED = {"num_queries": 64, "depth": 3, "num_heads": 16, "num_kv_heads": 4, "head_dim": 96}


def reference(vision_dim, text_dim, choices):
    """transformers' projection and resampler, of the same sizes."""
    config = Idefics2PerceiverConfig(
        hidden_size=text_dim,
        resampler_n_latents=choices["num_queries"],
        resampler_depth=choices["depth"],
        resampler_n_heads=choices["num_heads"],
        resampler_head_dim=choices["head_dim"],
        num_key_value_heads=choices["num_kv_heads"],
        rms_norm_eps=choices.get("eps", 1e-6),
    )
    hidden = choices.get("hidden_dim", 4 * text_dim)
    return nn.ModuleDict(
        {
            "modality_projection": Idefics2MLP(vision_dim, hidden, text_dim, "silu"),
            "perceiver_resampler": Idefics2PerceiverResampler(config),
        }
    )


def run(model, patches):
    every = torch.ones(patches.shape[:2], dtype=torch.long)
    return model["perceiver_resampler"](model["modality_projection"](patches), every)


def same(bridge, model, patches, tolerance):
    """Tokens, and the gradient of every weight."""
    tokens, expected = bridge(patches), run(model, patches)
    torch.testing.assert_close(tokens, expected, rtol=tolerance, atol=tolerance)
    onto = torch.randn_like(tokens)
    gradients = torch.autograd.grad((tokens * onto).sum(), list(bridge.parameters()))
    by_name = [model.get_parameter(name) for name, _ in bridge.named_parameters()]
    expected_gradients = torch.autograd.grad((expected * onto).sum(), by_name)
    largest = max(float(gradient.abs().max()) for gradient in expected_gradients)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=10 * tolerance, atol=10 * tolerance * largest)


@pytest.mark.parametrize(("vision_dim", "text_dim", "choices"), SIZES)
def test_is_transformers(vision_dim, text_dim, choices):
    torch.manual_seed(0)
    bridge = Idefics2Perceiver(vision_dim, text_dim, **choices)
    for p in bridge.parameters():
        nn.init.normal_(p, std=0.3)
    model = reference(vision_dim, text_dim, choices)
    model.load_state_dict(bridge.state_dict())  # the keys are the same
    patches = torch.randn(2, 9, vision_dim)
    same(bridge, model, patches, 1e-5)
    # Its norms run in float32 whatever they are given; with torch's in their place the rest is compared in float64.
    for part in list(model.modules()):
        for name, child in part.named_children():
            if isinstance(child, Idefics2RMSNorm):
                own = nn.RMSNorm(len(child.weight), eps=child.variance_epsilon)
                own.load_state_dict(child.state_dict())
                setattr(part, name, own)
    same(bridge.double(), model.double(), patches.double(), 1e-10)


@pytest.mark.slow
def test_is_transformers_at_the_published_size():
    torch.manual_seed(0)
    bridge = Idefics2Perceiver(1152, 4096, **PUBLISHED, hidden_dim=14336)
    with torch.device("meta"):
        model = reference(1152, 4096, PUBLISHED | {"hidden_dim": 14336})
    model.load_state_dict(bridge.state_dict(), assign=True)
    patches = torch.randn(1, 70, 1152)
    with torch.no_grad():
        torch.testing.assert_close(bridge(patches), run(model, patches), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_kv_heads": 3}, r"num_kv_heads=3 does not divide num_heads=4.*one of \[1, 2, 4\]"),
        ({"depth": 0}, r"depth=0 is less than 1\. Set bridge\.depth"),
        ({"hidden_dim": 0}, r"hidden_dim=0 is less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(choices, message):
    sizes = {"num_queries": 2, "depth": 1, "num_heads": 4, "num_kv_heads": 2, "head_dim": 2}
    with pytest.raises(ValueError, match=message):
        Idefics2Perceiver(6, 8, **(sizes | choices))
