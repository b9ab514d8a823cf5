import numpy as np
import pytest
import torch
from torch import nn

from bridgelab.bridge.blind import Blind
from bridgelab.bridge.linear import Linear
from bridgelab.explain.occlusion import occlusion_effect, occlusion_effects
from bridgelab.explain.selection import RANDOM_DRAWS, draw_matched_groups, selection
from bridgelab.model import BridgedModel

EVERY, VISITED, SOME = 0, 1, 2


def test_a_bridge_that_reads_visited_objects_alone_scores_one(planted, adds, reads):
    result = selection(adds(reads(VISITED)), planted.prepared, planted.regions)
    visits = planted.regions[:, 0].any(1)
    assert result.questions == visits.sum()
    assert result.selection.value == pytest.approx(1)
    assert result.selection.interval == pytest.approx((1, 1))
    # One nat per patch.
    assert result.visited.value == pytest.approx(planted.regions[visits, 0].sum(1).mean())
    assert result.others.value == 0
    assert result.background.value == 0
    # Among as many random patches, |V|² / N are visited, per question.
    assert result.random.value == pytest.approx((planted.regions[visits, 0].sum(1) ** 2 / 16).mean(), rel=0.1)


def test_a_bridge_that_reads_at_random_scores_the_base_rate(planted, adds, reads):
    result = selection(adds(reads(SOME)), planted.prepared, planted.regions)
    low, high = result.selection.interval
    assert low < result.base.value < high
    assert high - low < 0.1
    assert result.visited.value == pytest.approx(result.random.value, abs=0.1)


def test_a_bridge_to_which_all_patches_are_alike_scores_the_base_rate_exactly(planted, adds, reads):
    result = selection(adds(reads(EVERY)), planted.prepared, planted.regions)
    visits = planted.regions[:, 0].any(1)
    assert result.selection.value == pytest.approx(planted.regions[visits, 0].mean())
    assert result.selection.value == pytest.approx(result.base.value)
    assert result.visited.value == pytest.approx(result.random.value)


def test_a_bridge_that_ignores_patches_has_nothing_to_share_out(planted, tiny_text):
    model = BridgedModel(
        Blind(3, tiny_text.dim, num_tokens=2), tiny_text, mean=torch.zeros(3), std=torch.ones(3)
    )
    model.init_output_scale(planted.prepared.batch([0]))
    result = selection(model, planted.prepared, planted.regions)
    assert result.selection is None
    for value in (result.visited, result.others, result.background, result.random):
        assert value.value == pytest.approx(0, abs=1e-5)


def test_many_examples_at_once_are_as_one_at_a_time(planted, tiny_text):
    torch.manual_seed(0)
    model = BridgedModel(Linear(3, tiny_text.dim), tiny_text, mean=torch.full((3,), 0.5), std=torch.ones(3))
    model.init_output_scale(planted.prepared.batch([0]))
    text = []
    result = occlusion_effects(model, planted.prepared, planted.regions, text.append)
    for row in (0, 17, 239):
        one = occlusion_effect(model, planted.prepared.batch([row]), torch.from_numpy(planted.regions[row]))
        assert result[row] == pytest.approx(one.numpy(), abs=1e-5)
    assert text[-1] == len(planted.prepared)


def test_groups_match_in_number_and_stay_within_their_part():
    regions = np.zeros((1, 3, 10), dtype=bool)
    regions[0, 0, :3] = regions[0, 1, 3:5] = regions[0, 2, 5:9] = (
        True  # patch 9, a class token, is in no region
    )
    groups, enough = draw_matched_groups(regions, np.random.default_rng(0))
    assert groups.shape == (1, 2 + RANDOM_DRAWS, 10)
    assert enough.tolist() == [[False, True]]
    assert groups[0, 1].sum() == 3
    assert not (groups[0, 1] & ~regions[0, 2]).any()
    assert groups[0, 2:].sum(1).tolist() == [3] * RANDOM_DRAWS
    assert not groups[..., 9].any()


def test_bad_input(planted, adds, reads):
    with pytest.raises(ValueError, match="none of 240 questions visits an object"):
        selection(adds(reads(1)), planted.prepared, np.zeros_like(planted.regions))
    with pytest.raises(ValueError, match="groups for 3 examples, and there are 240"):
        occlusion_effects(adds(nn.Identity()), planted.prepared, planted.regions[:3])
