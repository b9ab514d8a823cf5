"""The contract of `bridgelab.bridge`, held by every yaml in conf/bridge/ as found on disk."""

import inspect
import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "bridge").glob("*.yaml"))


def composed(name):
    """A bridge's config as training sees it, with what it takes from another one's."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(f"bridge/{name}").bridge


CONFIGS = {name: composed(name) for name in NAMES}
QUERY_NAMES = [name for name, config in CONFIGS.items() if "num_queries" in config]
CONDITIONED = [name for name, config in CONFIGS.items() if config.get("conditioning", "none") != "none"]
SIZES = [(192, 128, 64), (48, 80, 36)]  # vision_dim, text_dim, patches: the miniature's, and others


@pytest.fixture(params=NAMES)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture(params=SIZES, ids=lambda sizes: "x".join(map(str, sizes)))
def built(request, config):
    """A bridge of fixed seed (a conditioned one asked a fixed question), and patches for it [4, N, vision_dim]."""
    vision_dim, text_dim, patches = request.param
    if "words" in config._target_:
        vision_dim = text_dim  # its patches are word embeddings
    torch.manual_seed(0)
    bridge = make(config, vision_dim, text_dim, patches)
    inputs = torch.randn(4, patches, vision_dim)
    return (Asked(bridge) if is_conditioned(bridge) else bridge), inputs


class Asked(torch.nn.Module):
    """A conditioned bridge that is asked the same question about every image, of 7 words."""

    def __init__(self, bridge):
        super().__init__()
        self.bridge = bridge
        self.text = torch.randn(7, bridge.text_dim)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("bridge"), name)

    def forward(self, patches):
        return self.bridge(patches, self.text.to(patches.dtype).expand(len(patches), -1, -1))


def is_conditioned(bridge) -> bool:
    return getattr(bridge, "conditioning", "none") != "none"


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
    assert {"linear", "mlp", "qformer", "perceiver", "blind", "words", "words_prompted"} <= set(NAMES)
    assert {"linear_pooled", "mlp_pooled", "pixel_shuffle", "c_abstractor", "perceiver_idefics2"} <= set(
        NAMES
    )
    assert {
        f"{b}_{c}" for b in ("qformer", "perceiver", "perceiver_idefics2") for c in ("question", "mismatched")
    } == set(CONDITIONED)


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


def test_an_unconditioned_bridge_does_not_read_text(built):
    bridge, patches = built
    if is_conditioned(bridge):
        pytest.skip("is conditioned")
    text, mask = torch.full((4, 7, bridge.text_dim), torch.nan), torch.ones(4, 7, dtype=torch.bool)
    assert torch.equal(bridge(patches, text, mask), bridge(patches))
    assert torch.equal(bridge(patches, text=text, text_mask=mask.long()), bridge(patches))


@pytest.fixture(params=CONDITIONED)
def conditioned(request):
    """A conditioned bridge, and patches and words for it."""
    torch.manual_seed(0)
    bridge = make(CONFIGS[request.param], 48, 80, 36)
    return bridge, torch.randn(3, 36, 48), torch.randn(3, 7, 80)


def test_a_conditioned_bridge_reads_the_question_and_no_padding(conditioned):
    bridge, patches, text = conditioned
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[:, 4:] = False
    tokens = bridge(patches, text, mask)
    assert not torch.allclose(tokens, bridge(patches, text.flip(0), mask), atol=1e-3)
    padded = torch.where(mask[..., None], text, 100.0)
    torch.testing.assert_close(bridge(patches, padded, mask.long()), tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bridge(patches, text[:, :4]), tokens, rtol=1e-5, atol=1e-5)


def test_a_conditioned_bridge_wants_a_question(conditioned):
    bridge, patches, _ = conditioned
    with pytest.raises(ValueError, match=r"needs a question, and there is none.*bridge\.conditioning=none"):
        bridge(patches)


@pytest.mark.parametrize("name", [name for name in CONDITIONED if name.endswith("_question")])
def test_mismatched_has_the_parameters_of_question(name):
    def shapes(config):
        return {key: value.shape for key, value in make(config, 48, 80, 36).state_dict().items()}

    plain, question = CONFIGS[name.removesuffix("_question")], CONFIGS[name]
    mismatched = CONFIGS[name.replace("_question", "_mismatched")]
    assert shapes(question) == shapes(mismatched)
    assert set(shapes(plain)) < set(shapes(question))
    assert {**question, "conditioning": "none"} == dict(plain)


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
    if is_conditioned(bridge):
        other = Asked(other)
        other.text = bridge.text
    other.load_state_dict(bridge.state_dict())
    assert torch.equal(other(patches), bridge(patches))


def distances(tokens):
    """Distance of each pair of tokens over their RMS norm, averaged over images; [M * (M - 1) / 2]."""
    tokens = tokens.detach()
    pairs = torch.triu_indices(tokens.shape[1], tokens.shape[1], offset=1)
    each = (tokens[:, pairs[0]] - tokens[:, pairs[1]]).norm(dim=-1)
    return (each / tokens.norm(dim=-1).square().mean().sqrt()).mean(0)


@pytest.mark.parametrize("config", QUERY_NAMES, indirect=True)
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
