"""Consistency by hand, and of groups on which it says nothing."""

import pytest

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_consistency():
    examples = [example(k, "true", "true_false", group=f"g{k // 2}") for k in range(6)]
    metric = GroupAccuracy()
    metric.update(["true", "true", "true", "false", "false", "false"], examples)
    assert metric.compute() == {"accuracy": 0.5, "consistency": pytest.approx(1 / 3)}


def test_groups_by_tag():
    """Two groups of one value, one of which is right in one order alone, and a group of two values, which is of neither."""
    tags = [("x", "a"), ("x", "a"), ("x", "b"), ("x", "b"), ("x", "c"), ("y", "c"), ("y", "d"), ("y", "d")]
    examples = [example(k, group=group, type=value) for k, (value, group) in enumerate(tags)]
    metric = GroupAccuracy(groups={"circular": "group"}, by=("type",))
    metric.update(["yes", "yes", "yes", "no", "no", "yes", "yes", "yes"], examples)
    assert metric.compute() == {
        "accuracy": 0.75,
        "accuracy/type=x": pytest.approx(3 / 5),
        "accuracy/type=y": 1,
        "circular": 0.5,
        "circular/type=x": 0.5,
        "circular/type=y": 1,
    }


def test_consistency_of_single_examples_is_cautioned():
    metric = GroupAccuracy()
    pair, single = (
        [example(k, "true", "true_false", group=group) for k, group in enumerate("aab")][1:],
        GroupAccuracy(),
    )
    assert metric.check(pair).startswith(
        "each of 2 groups is a single example: their consistency is their accuracy"
    )
    assert metric.check(pair, scores_only=True) is None
    assert single.check([*pair, example(5, "true", "true_false", group="a")]) is None
    with pytest.raises(ValueError, match=r"example 0 has the tags \['type'\]: consistency needs 'group'"):
        metric.check([example(0, type="exist")])


def test_an_example_without_a_group():
    metric = GroupAccuracy()
    metric.update(["yes"], [example(0, type="exist")])
    with pytest.raises(ValueError, match=r"example 0 has the tags \['type'\]: consistency needs 'group'"):
        metric.compute()
