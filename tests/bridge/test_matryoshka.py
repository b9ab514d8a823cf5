"""Matryoshka queries against their equations in float64 and against torch's own attention layer; what they draw, and what is left out."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.bridge.attention import attention_over_patches
from bridgelab.bridge.contract import check
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.matryoshka import MatryoshkaQueries
from bridgelab.bridge.perceiver import PerceiverResampler
from bridgelab.model import BridgedModel
from bridgelab.training.start_check import check_start


@pytest.fixture
def bridge():
    torch.manual_seed(0)
    made = MatryoshkaQueries(8, 5, grid=(2, 3), num_queries=4, num_heads=2).double()
    for p in made.parameters():
        nn.init.normal_(p, std=0.5)
    return made.eval()


PATCHES = torch.randn(3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def by_the_paper(bridge, x, m):
    """Loops over queries and heads: query i of the first m reads the patches of one image, with its places as keys."""
    weights = {name: p.detach() for name, p in bridge.named_parameters()}

    def norm(v, name):
        centred = v - v.mean()
        return (
            weights[f"{name}.weight"] * centred / torch.sqrt((centred**2).mean() + 1e-6)
            + weights[f"{name}.bias"]
        )

    dim, heads = len(x[0]), bridge.attn.num_heads
    (wq, wk, wv), (bq, bk, bv) = (
        weights["attn.in_proj_weight"].split(dim),
        weights["attn.in_proj_bias"].split(dim),
    )
    keys = [wk @ norm(place, "ln_k") + bk for place in bridge.key_positions]
    values = [wv @ norm(patch, "ln_v") + bv for patch in x]
    tokens = []
    for i in range(m):
        query = wq @ norm(weights["query"][i] + bridge.query_positions[i], "ln_q") + bq
        mixed = []
        for h in range(heads):
            own = slice(h * dim // heads, (h + 1) * dim // heads)
            scores = torch.stack([torch.dot(query[own], key[own]) / math.sqrt(dim // heads) for key in keys])
            shares = scores.exp() / scores.exp().sum()
            mixed.append(sum(share * value[own] for share, value in zip(shares, values, strict=True)))
        out = weights["attn.out_proj.weight"] @ torch.cat(mixed) + weights["attn.out_proj.bias"]
        tokens.append(out @ weights["proj"])
    return torch.stack(tokens)


@pytest.mark.parametrize("m", [1, 3, 4])
def test_the_first_m_tokens_are_those_of_the_papers_equations(bridge, m):
    bridge.limit_tokens(m)
    tokens = bridge(PATCHES)
    assert tokens.shape == (3, m, 5)
    expected = torch.stack([by_the_paper(bridge, x, m) for x in PATCHES])
    torch.testing.assert_close(tokens, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("m", [2, None])
def test_values_and_gradients_are_those_of_torchs_attention_layer(bridge, m):
    bridge.limit_tokens(m)
    query = bridge.ln_q(bridge.query[:m] + bridge.query_positions[:m])[:, None].repeat(1, 3, 1)
    keys = bridge.ln_k(bridge.key_positions)[:, None].repeat(1, 3, 1)
    mixed, _ = bridge.attn(query, keys, bridge.ln_v(PATCHES).transpose(0, 1))
    expected = mixed.transpose(0, 1) @ bridge.proj
    tokens = bridge(PATCHES)
    torch.testing.assert_close(tokens, expected, rtol=1e-11, atol=1e-11)
    onto, own = torch.randn_like(tokens), list(bridge.parameters())
    for found, wanted in zip(
        *(torch.autograd.grad((t * onto).sum(), own) for t in (tokens, expected)), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_fewer_tokens_are_the_first_of_more(bridge):
    every = bridge(PATCHES)
    for m in range(1, 5):
        bridge.limit_tokens(m)
        torch.testing.assert_close(bridge(PATCHES), every[:, :m], rtol=1e-12, atol=1e-12)


def test_each_training_step_draws_a_number_and_trains_the_first_queries_alone(bridge):
    bridge.train()
    drawn = []
    for _ in range(400):
        tokens = bridge(PATCHES[:1])
        drawn.append(tokens.shape[1])
        if len(drawn) < 20:
            (gradient,) = torch.autograd.grad(tokens.square().sum(), [bridge.query])
            assert gradient[: drawn[-1]].abs().sum(1).min() > 0
            assert not gradient[drawn[-1] :].any()
    assert drawn[0] == 4  # the largest first
    counts = Counter(drawn)
    assert set(counts) == {1, 2, 3, 4}
    # Chi-square with 3 degrees of freedom; the draws are always the same.
    assert sum((counts[m] - 100) ** 2 / 100 for m in counts) < 11.3
    # Neither a call without gradients nor one in eval mode is a step.
    with torch.no_grad():
        assert bridge(PATCHES).shape[1] == 4
    bridge.eval()(PATCHES)
    assert bridge.steps == 400
    # Another seed's bridge draws the same, and a copy through the weights goes on where this one was.
    torch.manual_seed(9)
    other = MatryoshkaQueries(8, 5, grid=(2, 3), num_queries=4, num_heads=2).double()
    assert [other(PATCHES[:1]).shape[1] for _ in range(30)] == drawn[:30]
    other.load_state_dict(bridge.state_dict())
    bridge.train()
    assert [other(PATCHES[:1]).shape[1] for _ in range(30)] == [
        bridge(PATCHES[:1]).shape[1] for _ in range(30)
    ]


def test_what_was_looked_at_is_the_same_for_every_image(bridge):
    with attention_over_patches() as weights:
        bridge(torch.cat([PATCHES[:, :1], PATCHES], 1))  # a class token is left out
    assert weights[0].shape == (3, 2, 4, 6)
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3, 2, 4, dtype=torch.float64))
    assert torch.equal(weights[0][0], weights[0][1])


def test_a_single_query_keeps_the_contract_and_may_start(tiny_text):
    """There is no other query that it could be like."""
    choices = {"num_queries": 1, "num_heads": 2}
    assert not [result for result in check(PerceiverResampler, choices | {"depth": 1}) if result.problem]
    model = BridgedModel(MatryoshkaQueries(8, tiny_text.dim, grid=(2, 3), **choices), tiny_text)
    words, mask = tiny_text.tokenize(["what is it", "red"])
    batch = {"patches": torch.randn(2, 6, 8), "prompt": words, "prompt_mask": mask, "labels": words}
    model.init_output_scale(batch)
    check_start(model, batch)


def test_the_number_of_tokens_of_an_evaluation_is_refused_where_it_means_nothing(bridge):
    for number in (0, 5):
        with pytest.raises(
            ValueError, match=rf"evaluate\.tokens={number}: this bridge has 4 queries\. Set .* from 1 to 4"
        ):
            bridge.limit_tokens(number)
    assert not hasattr(Linear(3, 3), "limit_tokens")


@pytest.mark.parametrize(
    ("vision_dim", "choices", "message"),
    [
        (8, {"num_queries": 5}, r"num_queries=5 is not a square.*bridge\.num_queries to 4 or 9"),
        (8, {"num_queries": 0}, r"num_queries=0 is less than 1"),
        (8, {"num_heads": 3}, r"num_heads=3 does not divide vision_dim=8"),
        (6, {}, r"vision_dim=6: 2-D positions.*multiple of 4\. Choose another vision encoder, or bridge=perceiver_qwen"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(vision_dim, choices, message):
    with pytest.raises(ValueError, match=message):
        MatryoshkaQueries(vision_dim, 5, grid=(2, 3), **({"num_queries": 4, "num_heads": 2} | choices))


def test_draws_are_uniform_for_other_numbers_of_queries():
    bridge = MatryoshkaQueries(4, 4, grid=(1, 1), num_queries=256, num_heads=1)
    drawn = [bridge._draw() for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(128.5, abs=4 * 73.9 / 4000**0.5)
    assert {1, 256} <= set(drawn)
