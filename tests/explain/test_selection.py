import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.bridge.blind import Blind
from bridgelab.bridge.linear import Linear
from bridgelab.explain.occlusion import effect, effects
from bridgelab.explain.selection import DRAWS, matched, selection
from bridgelab.model import BridgedModel

EVERY, VISITED, SOME = 0, 1, 2


def test_a_bridge_that_reads_visited_objects_alone_scores_one(planted, adds, reads):
    found = selection(adds(reads(VISITED)), planted.prepared, planted.parts)
    asked = planted.parts[:, 0].any(1)
    assert found.questions == asked.sum()
    assert found.selection.value == pytest.approx(1)
    assert found.selection.interval == pytest.approx((1, 1))
    assert found.visited.value == pytest.approx(planted.parts[asked, 0].sum(1).mean())  # a nat each
    assert found.others.value == 0
    assert found.background.value == 0
    # Of as many at random, this share is visited: |V|² / N a question.
    assert found.random.value == pytest.approx((planted.parts[asked, 0].sum(1) ** 2 / 16).mean(), rel=0.1)


def test_a_bridge_that_reads_at_random_scores_the_base_rate(planted, adds, reads):
    found = selection(adds(reads(SOME)), planted.prepared, planted.parts)
    low, high = found.selection.interval
    assert low < found.base.value < high
    assert high - low < 0.1
    assert found.visited.value == pytest.approx(found.random.value, abs=0.1)


def test_a_bridge_to_which_all_patches_are_alike_scores_the_base_rate_exactly(planted, adds, reads):
    found = selection(adds(reads(EVERY)), planted.prepared, planted.parts)
    asked = planted.parts[:, 0].any(1)
    assert found.selection.value == pytest.approx(planted.parts[asked, 0].mean())
    assert found.selection.value == pytest.approx(found.base.value)
    assert found.visited.value == pytest.approx(found.random.value)


def test_a_bridge_that_ignores_patches_has_nothing_to_share_out(planted, tiny_text):
    model = BridgedModel(
        Blind(3, tiny_text.dim, num_tokens=2), tiny_text, mean=torch.zeros(3), std=torch.ones(3)
    )
    model.init_output_scale(planted.prepared.batch([0]))
    found = selection(model, planted.prepared, planted.parts)
    assert found.selection is None
    for value in (found.visited, found.others, found.background, found.random):
        assert value.value == pytest.approx(0, abs=1e-5)


def test_many_examples_at_once_are_as_one_at_a_time(planted, tiny_text):
    torch.manual_seed(0)
    model = BridgedModel(Linear(3, tiny_text.dim), tiny_text, mean=torch.full((3,), 0.5), std=torch.ones(3))
    model.init_output_scale(planted.prepared.batch([0]))
    told = []
    found = effects(model, planted.prepared, planted.parts, told.append)
    for row in (0, 17, 239):
        one = effect(model, planted.prepared.batch([row]), torch.from_numpy(planted.parts[row]))
        assert found[row] == pytest.approx(one.numpy(), abs=1e-5)
    assert told[-1] == len(planted.prepared)


def test_groups_match_in_number_and_stay_within_their_part():
    parts = np.zeros((1, 3, 10), dtype=bool)
    parts[0, 0, :3] = parts[0, 1, 3:5] = parts[0, 2, 5:9] = True  # patch 9, a class token, is of none
    groups, enough = matched(parts, np.random.default_rng(0))
    assert groups.shape == (1, 2 + DRAWS, 10)
    assert enough.tolist() == [[False, True]]
    assert groups[0, 1].sum() == 3
    assert not (groups[0, 1] & ~parts[0, 2]).any()
    assert groups[0, 2:].sum(1).tolist() == [3] * DRAWS
    assert not groups[..., 9].any()


def test_bad_input(planted, adds, reads):
    with pytest.raises(ValueError, match="none of 240 questions visits an object"):
        selection(adds(reads(1)), planted.prepared, np.zeros_like(planted.parts))
    with pytest.raises(ValueError, match="groups for 3 examples, and there are 240"):
        effects(adds(nn.Identity()), planted.prepared, planted.parts[:3])
