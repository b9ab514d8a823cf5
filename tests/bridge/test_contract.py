"""The contract of `bridgelab.bridge`, held by every yaml in conf/bridge/ as found on disk."""

import inspect
import math
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

YAMLS = sorted((Path(__file__).parents[2] / "conf" / "bridge").glob("*.yaml"))
QUERY_YAMLS = [path for path in YAMLS if "num_queries" in OmegaConf.load(path)]
SIZES = [(192, 128, 64), (48, 80, 36)]  # vision_dim, text_dim, patches: the miniature's, and others


@pytest.fixture(params=YAMLS, ids=lambda path: path.stem)
def config(request):
    return OmegaConf.load(request.param)


@pytest.fixture(params=SIZES, ids=lambda sizes: "x".join(map(str, sizes)))
def built(request, config):
    """A bridge of fixed seed, and patches for it [4, N, vision_dim]."""
    vision_dim, text_dim, patches = request.param
    if "words" in config._target_:
        vision_dim = text_dim  # its patches are word embeddings
    torch.manual_seed(0)
    return make(config, vision_dim, text_dim, patches), torch.randn(4, patches, vision_dim)


def make(config, vision_dim, text_dim, patches):
    """As training builds it: a bridge to which places matter is given the grid."""
    wants_grid = "grid" in inspect.signature(get_class(config._target_)).parameters
    grid = {"grid": (math.isqrt(patches),) * 2} if wants_grid else {}
    return instantiate(config, vision_dim, text_dim, **grid, _convert_="all")


def keeps_places(bridge) -> bool:
    return hasattr(bridge, "grid")


def sees(bridge) -> str:
    return getattr(bridge, "sees", "image")


def is_query_bridge(bridge) -> bool:
    return hasattr(bridge, "num_queries")


def gradient_norm(bridge):
    return torch.stack([p.grad.norm() for p in bridge.parameters()]).norm()


def test_there_are_bridges_to_test():
    assert {"linear", "mlp", "qformer", "perceiver", "blind", "words", "words_prompted"} <= {
        path.stem for path in YAMLS
    }
    assert {"linear_pooled", "mlp_pooled", "pixel_shuffle", "c_abstractor", "perceiver_idefics2"} <= {
        path.stem for path in YAMLS
    }


def test_shape(built):
    bridge, patches = built
    tokens = bridge(patches)
    batch, count, channels = tokens.shape
    assert (batch, channels) == (4, bridge.text_dim)
    if is_query_bridge(bridge):
        assert count == bridge.num_queries
    elif keeps_places(bridge):
        assert count == bridge.num_tokens
    else:
        assert count == getattr(bridge, "num_tokens", 0) + (sees(bridge) != "nothing") * patches.shape[1]


def test_one_patch_and_one_image_are_enough(built):
    bridge, patches = built
    if keeps_places(bridge):
        with pytest.raises(ValueError, match="1 patches do not fill the grid"):
            bridge(patches[:1, :1])
        assert bridge(patches[:1]).isfinite().all()
    else:
        assert bridge(patches[:1, :1]).isfinite().all()


def test_gradients_reach_every_parameter(built):
    bridge, patches = built
    tokens = bridge(patches)
    if not list(bridge.parameters()):
        assert not tokens.requires_grad
        return
    (tokens * torch.randn_like(tokens)).sum().backward()
    unreached = [name for name, p in bridge.named_parameters() if p.grad is None or not p.grad.any()]
    # A key's bias adds the same to every score of a query, and softmax takes it away again.
    unreached = [name for name in unreached if not name.endswith("key.bias")]
    assert not unreached
    assert all(p.grad is not None and p.grad.isfinite().all() for p in bridge.parameters())


def test_first_gradient_is_sane(built):
    bridge, patches = built
    if list(bridge.parameters()):
        bridge(patches).square().mean().backward()
        assert 1e-5 < gradient_norm(bridge) < 100


@pytest.mark.parametrize("autocast", [False, True], ids=["weights", "autocast"])
def test_finite_in_bfloat16(built, autocast):
    bridge, patches = built
    if autocast:
        with torch.autocast("cpu", torch.bfloat16):
            tokens = bridge(patches)
    else:
        bridge, patches = bridge.bfloat16(), patches.bfloat16()
        tokens = bridge(patches)
    assert tokens.isfinite().all()
    if tokens.requires_grad:
        tokens.float().square().mean().backward()
        assert all(p.grad.isfinite().all() for p in bridge.parameters())


def test_same_result_for_any_batch_size(built):
    bridge, patches = built
    whole = bridge(patches)
    for size in (1, 3):
        split = torch.cat([bridge(part) for part in patches.split(size)])
        torch.testing.assert_close(split, whole, rtol=1e-5, atol=1e-5)


def test_order_of_patches(built):
    bridge, patches = built
    order = torch.randperm(patches.shape[1], generator=torch.Generator().manual_seed(1))
    before, after = bridge(patches), bridge(patches[:, order])
    if keeps_places(bridge):
        assert not torch.allclose(after, before, rtol=1e-3, atol=1e-3)
        return
    if is_query_bridge(bridge) or sees(bridge) == "nothing":
        expected = before
    else:  # one token a patch, behind the learned prompt if there is one
        prompt = before.shape[1] - patches.shape[1]
        expected = torch.cat([before[:, :prompt], before[:, prompt:][:, order]], dim=1)
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-5)


def test_sees_what_it_says(built):
    bridge, patches = built
    changed = not torch.equal(bridge(patches), bridge(patches + torch.randn_like(patches)))
    assert changed == (sees(bridge) != "nothing")


def test_unconditioned_bridge_does_not_read_text(built):
    bridge, patches = built
    text, mask = torch.full((4, 7, bridge.text_dim), torch.nan), torch.ones(4, 7, dtype=torch.bool)
    assert getattr(bridge, "conditioning", "none") == "none"
    assert torch.equal(bridge(patches, text, mask), bridge(patches))
    assert torch.equal(bridge(patches, text=text, text_mask=mask.long()), bridge(patches))


def test_seed_is_the_callers(built, config):
    bridge, patches = built
    sizes = patches.shape[-1], bridge.text_dim
    one, two = (make(config, *sizes, patches.shape[1]).state_dict() for _ in range(2))
    drawn = [name for name in one if one[name].std() > 0]
    assert drawn or not one
    assert not any(torch.equal(one[name], two[name]) for name in drawn)


def test_state_survives_a_copy(built, config):
    bridge, patches = built
    other = make(config, patches.shape[-1], bridge.text_dim, patches.shape[1])
    other.load_state_dict(bridge.state_dict())
    assert torch.equal(other(patches), bridge(patches))


def distances(tokens):
    """Distance of each pair of tokens over their RMS norm, averaged over images; [M * (M - 1) / 2]."""
    tokens = tokens.detach()
    pairs = torch.triu_indices(tokens.shape[1], tokens.shape[1], offset=1)
    each = (tokens[:, pairs[0]] - tokens[:, pairs[1]]).norm(dim=-1)
    return (each / tokens.norm(dim=-1).square().mean().sqrt()).mean(0)


@pytest.mark.parametrize("config", QUERY_YAMLS, ids=lambda path: path.stem, indirect=True)
def test_queries_differ_and_stay_different(built):
    """Symmetric queries (zeros, ones) would hand the T5 one token M times, for ever."""
    bridge, patches = built
    assert distances(bridge(patches)).min() > 0.1
    optimizer = torch.optim.AdamW(bridge.parameters(), lr=1e-3)
    target = torch.randn(4, bridge.num_queries, bridge.text_dim)
    losses = []
    for _ in range(8):
        loss = (bridge(patches) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert distances(bridge(patches)).min() > 0.1
