from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.data.sampler import MixtureSampler, stratified_indices

STAGES = [{"share": 0.4, "caption": 1.0, "answer": 0.0}, {"share": 0.6, "caption": 0.3, "answer": 0.7}]


def sampler(seed=0, steps=100, stages=STAGES, batch_size=8, captions=50, answers=90, window=1):
    lengths = np.random.default_rng(1).integers(3, 30, captions + answers)
    pools = {"caption": lengths[:captions], "answer": lengths[captions:]}
    return MixtureSampler(pools, stages, steps=steps, batch_size=batch_size, seed=seed, window=window)


def drawn(s):
    return [(step.pool, *step.rows.tolist()) for step in s]


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_limit_spreads_over_all_examples(examples, most):
    rows = stratified_indices(examples, most)
    assert rows == stratified_indices(examples, most)
    assert len(rows) == min(examples, most)
    assert rows == sorted(set(rows))
    assert 0 <= rows[0] <= rows[-1] < examples
    gaps = np.diff(rows)
    assert not len(gaps) or gaps.max() <= 2 * -(-examples // len(rows))


@pytest.mark.parametrize("most", [1000, 3000])
def test_a_limit_does_not_pick_the_same_question_of_every_image(most):
    places = np.bincount(np.array(stratified_indices(10000, most)) % 10, minlength=10)
    assert places.min() > 0.7 * most / 10
    assert places.max() < 1.3 * most / 10


def test_the_mixture_holds_to_within_a_batch_at_any_step():
    pools = [step.pool for step in sampler(steps=1000)]
    assert set(pools[:400]) == {"caption"}
    captions = np.cumsum([pool == "caption" for pool in pools[400:]])
    assert np.abs(captions - 0.3 * np.arange(1, 601)).max() <= 1
    assert sampler(steps=1000).counts() == {"answer": 420, "caption": 580}


def test_the_order_is_the_data_seeds_alone():
    assert drawn(sampler(seed=3)) == drawn(sampler(seed=3))
    assert drawn(sampler(seed=3)) != drawn(sampler(seed=4))


def test_global_randomness_changes_nothing():
    first = drawn(sampler())
    np.random.seed(7)  # noqa: NPY002
    assert drawn(sampler()) == first


def test_an_epoch_has_each_row_at_most_once_and_all_rows_come_in_time():
    s = sampler(steps=110, stages=[{"answer": 1.0}])  # 11 batches of 8 from 90: ten epochs
    steps = [step.rows for step in s]
    for epoch in range(10):
        rows = np.concatenate(steps[11 * epoch : 11 * epoch + 11])
        assert len(set(rows.tolist())) == 88
    assert len(set(np.concatenate(steps).tolist())) == 90


def test_a_pool_smaller_than_a_batch_is_repeated_evenly():
    rows = next(iter(sampler(steps=1, stages=[{"caption": 1}], captions=3))).rows
    assert sorted(Counter(rows.tolist()).values()) == [2, 3, 3]


@settings(deadline=None, max_examples=25)
@given(stop=st.integers(0, 99), seed=st.integers(0, 5), window=st.sampled_from([1, 4]))
def test_resumed_anywhere_it_goes_on_as_if_nothing_had_happened(stop, seed, window):
    whole = drawn(sampler(seed, window=window))
    first = sampler(seed, window=window)
    iterator = iter(first)
    begun = [next(iterator) for _ in range(stop)]
    second = sampler(seed, window=window)
    second.load_state_dict(first.state_dict())
    assert [(s.pool, *s.rows.tolist()) for s in begun] + drawn(second) == whole


def test_sorting_by_length_saves_padding_and_keeps_the_epoch():
    def padded(s):
        return sum(s.lengths[step.pool][step.rows].max() for step in s)

    plain, windowed = (sampler(steps=55, stages=[{"answer": 1}], window=w) for w in (1, 6))
    assert padded(windowed) < 0.8 * padded(plain)
    a, b = (
        Counter(
            np.concatenate(
                [step.rows for step in sampler(steps=11, stages=[{"answer": 1}], window=w)]
            ).tolist()
        )
        for w in (1, 6)
    )
    assert a == b


def test_processes_share_each_batch_out():
    whole = [step.rows for step in sampler()]
    parts = []
    for rank in range(4):
        s = sampler()
        s.shard(rank, 4)
        parts.append([step.rows for step in s])
    for step, rows in enumerate(whole):
        assert sorted(np.concatenate([part[step] for part in parts])) == sorted(rows)


def test_an_added_pool_leaves_the_others_order_alone():
    lengths = np.arange(1, 40)
    alone = MixtureSampler({"answer": lengths}, [{"answer": 1}], steps=5, batch_size=4, seed=0)
    both = MixtureSampler(
        {"answer": lengths, "caption": lengths}, [{"answer": 1}], steps=5, batch_size=4, seed=0
    )
    assert drawn(alone) == drawn(both)


def test_bad_input():
    with pytest.raises(ValueError, match=r"batch_size=8 is not divisible by 3 processes"):
        sampler().shard(0, 3)
    with pytest.raises(ValueError, match=r"draws from none of the pools.*answer, caption.*train\.stages"):
        sampler(stages=[{"share": 1, "captoin": 1.0}])
    with pytest.raises(ValueError, match="0 stages"):
        sampler(stages=[])
    with pytest.raises(ValueError, match=r"shares .* must be positive"):
        sampler(stages=[{"share": 0, "answer": 1}])
    with pytest.raises(ValueError, match="negative weight"):
        sampler(stages=[{"answer": -1, "caption": 1}])
    with pytest.raises(ValueError, match=r"order of examples.*fresh run directory"):
        sampler(seed=1).load_state_dict(sampler(seed=0).state_dict())
