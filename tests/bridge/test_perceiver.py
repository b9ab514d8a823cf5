"""The Perceiver Resampler against float64 loops, from Alayrac et al. 2022 and OpenFlamingo."""

import math

import pytest
import torch

from bridgelab.bridge.perceiver import PerceiverResampler


def norm(x, state, name):
    """LayerNorm of one vector."""
    centred = x - x.mean()
    return (
        centred / math.sqrt(centred.square().mean() + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]
    )


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def resample(patches, state, depth, num_heads):
    """One image, patches [N, D]; one latent, one head and one key at a time."""
    latents = list(state["latents"])
    for i in range(depth):
        at = f"layers.{i}.0"
        w_q, w_out = state[f"{at}.to_q.weight"], state[f"{at}.to_out.weight"]
        w_k, w_v = state[f"{at}.to_kv.weight"].tensor_split(2)  # K, then V
        d = len(w_q) // num_heads
        normed = [norm(q, state, f"{at}.norm_latents") for q in latents]
        context = [norm(x, state, f"{at}.norm_media") for x in patches] + normed  # [x; q], both normed
        for j, q in enumerate(normed):
            heads = []
            for h in range(num_heads):
                rows = slice(h * d, (h + 1) * d)
                scores = [math.exp((w_q[rows] @ q) @ (w_k[rows] @ c) / math.sqrt(d)) for c in context]
                total = sum(scores)
                heads.append(sum(s / total * (w_v[rows] @ c) for s, c in zip(scores, context, strict=True)))
            latents[j] = latents[j] + w_out @ torch.cat(heads)
        at = f"layers.{i}.1"
        for j, q in enumerate(latents):
            hidden = gelu(state[f"{at}.1.weight"] @ norm(q, state, f"{at}.0"))
            latents[j] = q + state[f"{at}.3.weight"] @ hidden
    out = [norm(q, state, "norm") for q in latents]
    weight, bias = state["language_projection.weight"], state["language_projection.bias"]
    return torch.stack([weight @ q + bias for q in out])


@pytest.mark.parametrize(
    ("vision_dim", "text_dim", "choices"),
    [
        (8, 6, {"num_queries": 3, "depth": 1, "num_heads": 2}),
        (12, 5, {"num_queries": 4, "depth": 3, "num_heads": 3, "ffn_dim": 24}),
        # Heads wider than the patches.
        (7, 10, {"num_queries": 2, "depth": 2, "num_heads": 4, "head_dim": 3}),
    ],
)
def test_is_the_papers_equations(vision_dim, text_dim, choices):
    torch.manual_seed(0)
    bridge = PerceiverResampler(vision_dim, text_dim, **choices).double()
    for p in bridge.parameters():  # norms and biases away from one and zero, where a slip would not show
        torch.nn.init.normal_(p, std=0.5)
    patches = torch.randn(2, 5, vision_dim, dtype=torch.float64)
    state = {name: value.detach() for name, value in bridge.state_dict().items()}
    expected = torch.stack(
        [resample(image, state, choices["depth"], choices["num_heads"]) for image in patches]
    )
    torch.testing.assert_close(bridge(patches), expected, rtol=1e-10, atol=1e-10)
    single = bridge.float()(patches.float())
    torch.testing.assert_close(single, expected.float(), rtol=1e-4, atol=1e-4)


def test_keys_are_open_flamingos():
    names = set(PerceiverResampler(8, 6, num_queries=3, depth=1, num_heads=2).state_dict())
    attention = {f"layers.0.0.norm_{of}.{p}" for of in ("media", "latents") for p in ("weight", "bias")}
    attention |= {f"layers.0.0.{name}.weight" for name in ("to_q", "to_kv", "to_out")}
    ffn = {f"layers.0.1.{name}" for name in ("0.weight", "0.bias", "1.weight", "3.weight")}
    ours = {"language_projection.weight", "language_projection.bias"}
    assert names == {"latents", "norm.weight", "norm.bias"} | attention | ffn | ours


@pytest.mark.parametrize(("vision_dim", "millions"), [(768, 38), (1024, 63), (2048, 227)])
def test_published_sizes(vision_dim, millions):
    """Depth 6, 64 latents, 8 heads of 64, as OpenFlamingo counts its resampler, without our projection."""
    with torch.device("meta"):
        bridge = PerceiverResampler(vision_dim, 768, num_queries=64, depth=6, num_heads=8, head_dim=64)
    count = sum(
        p.numel() for name, p in bridge.named_parameters() if not name.startswith("language_projection")
    )
    assert round(count / 1e6) == millions


def test_heads_must_divide():
    with pytest.raises(ValueError, match=r"num_heads=5 does not divide vision_dim=12.*\[1, 2, 3, 4, 6, 12\]"):
        PerceiverResampler(12, 6, num_queries=3, depth=1, num_heads=5)


@pytest.mark.parametrize("name", ["num_queries", "depth", "num_heads", "head_dim", "ffn_dim"])
def test_counts_must_be_positive(name):
    choices = {"num_queries": 3, "depth": 1, "num_heads": 2} | {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0 is less than 1"):
        PerceiverResampler(12, 6, **choices)
