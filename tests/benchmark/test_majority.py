"""The majority floor by hand, and against every constant answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.majority import majority


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_majority_by_type():
    train = [example(k, a, type="count") for k, a in enumerate("11233")] + [example(9, "yes", type="exist")]
    test = [example(0, "0", type="count"), example(1, "no", type="exist"), example(2, "red", type="query")]
    assert majority(train, test) == ["1", "yes", "1"]
    assert majority(train[::-1], test) == ["1", "yes", "1"]


def test_majority_of_choices_is_a_position():
    def chooses(choices, answer):
        return Example("a", ("/x.png",), "which ?", (answer,), "choice", {"type": "t"}, choices=choices)

    train = [chooses(("a", "b"), "b"), chooses(("c", "d"), "d"), chooses(("a", "b", "c"), "a")]
    test = [chooses(("x", "y"), "x"), chooses(("x", "y", "z"), "z"), chooses(("p", "q", "r", "s"), "q")]
    assert majority(train, test) == ["y", "x", "p"]


def test_majority_by_several_tags():
    train = [
        example(k, answer, type="count", family=family)
        for k, (answer, family) in enumerate([("1", "a"), ("1", "a"), ("2", "b"), ("2", "b"), ("1", "b")])
    ]
    test = [example(0, "0", type="count", family="a"), example(1, "0", type="count", family="b")]
    assert majority(train, test) == ["1", "1"]
    assert majority(train, test, tags=("type", "family")) == ["1", "2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1))
def test_no_constant_answer_beats_the_majority_of_its_type(pairs):
    train = [example(k, answer, type=kind) for k, (kind, answer) in enumerate(pairs)]
    right = [p == e.answers[0] for p, e in zip(majority(train, train), train, strict=True)]
    for kind, constant in itertools.product("abc", "xyz"):
        of_kind = [(e, r) for e, r in zip(train, right, strict=True) if e.tags["type"] == kind]
        assert sum(r for _, r in of_kind) >= sum(e.answers[0] == constant for e, _ in of_kind)


def test_no_training_example():
    with pytest.raises(ValueError, match="0 training examples"):
        majority([], [example(0)])
