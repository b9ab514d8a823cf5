"""Accuracy, consistency and captions, by hand and against brute force; and their sums over processes."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics import caption_metric as caption
from bridgelab.benchmark.metrics.accuracy import Accuracy, Consistency, majority
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric, attribute_shares, named_objects
from bridgelab.world.scene import ATTRIBUTES


def example(k, answer="yes", kind="answer", **tags):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Example(id=str(k), images=("/x.png",), prompt="?", answers=answers, kind=kind, tags=tags)


def test_accuracy_by_tag():
    examples = [
        example(0, type="exist", hops=0),
        example(1, "2", type="count", hops=0),
        example(2, "3", type="count", hops=2),
        example(3, ("red", "crimson")),
    ]
    metric = Accuracy(by=("type", "hops"))
    metric.update(["yes ", "2"], examples[:2])
    metric.update(["2", "crimson"], examples[2:])
    assert metric.compute() == {
        "accuracy": 0.75,
        "accuracy/type=count": 0.5,
        "accuracy/type=exist": 1.0,
        "accuracy/hops=0": 1.0,
        "accuracy/hops=2": 0.0,
    }
    metric.reset()
    metric.update(["Yes", "yes no"], [example(0), example(1)])
    assert metric.compute() == {"accuracy": 0.0}


def test_consistency():
    examples = [example(k, "true", "true_false", group=f"g{k // 2}") for k in range(6)]
    metric = Consistency()
    metric.update(["true", "true", "true", "false", "false", "false"], examples)
    assert metric.compute() == {"accuracy": 0.5, "consistency": pytest.approx(1 / 3)}


def test_consistency_of_single_examples_is_told():
    metric = Consistency()
    pair, single = (
        [example(k, "true", "true_false", group=group) for k, group in enumerate("aab")][1:],
        Consistency(),
    )
    assert metric.check(pair).startswith(
        "each of 2 groups is a single example: their consistency is their accuracy"
    )
    assert metric.check(pair, alone=True) is None
    assert single.check([*pair, example(5, "true", "true_false", group="a")]) is None
    with pytest.raises(ValueError, match=r"example 0 has the tags \['type'\]: consistency needs 'group'"):
        metric.check([example(0, type="exist")])


def test_captions_outside_of_what_cider_is_defined_on(monkeypatch):
    """On one image every weight is log(1/1) = 0, so that even the reference itself scores 0."""
    monkeypatch.setattr(caption, "stanford_jar", lambda: None)  # Java takes seconds
    photographs, scenes = CaptionMetric(attributes=False), CaptionMetric()
    one = [example(0, ("a dog runs", "a dog is running"), "caption")]
    photographs.update(["a dog runs"], one)
    assert photographs.compute()["cider"] == 0
    with pytest.raises(
        ValueError, match=r"1 captions of 1 image: .* Set evaluate\.limit\.caption to at least 2"
    ):
        photographs.check(one)
    two = [*one, replace(example(1, "a cat", "caption"), images=("/y.png",))]
    assert photographs.check(two).startswith(
        "CIDEr-D over 2 images with 1.5 references each is not comparable"
    )
    published = [
        replace(example(k, "abcde", "caption"), images=(f"/{k}.png",), answers=tuple("abcde"))
        for k in range(1000)
    ]
    assert photographs.check(published) is None
    with pytest.raises(ValueError, match="'a cat' names no object"):
        scenes.check(two[1:], alone=True)


def test_majority_by_type():
    train = [example(k, a, type="count") for k, a in enumerate("11233")] + [example(9, "yes", type="exist")]
    test = [example(0, "0", type="count"), example(1, "no", type="exist"), example(2, "red", type="query")]
    assert majority(train, test) == ["1", "yes", "1"]
    assert majority(train[::-1], test) == ["1", "yes", "1"]


def test_majority_of_choices_is_a_place():
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


def test_processes_are_summed_and_padding_counts_once():
    """Two processes, gathered as torchmetrics does, equal one process over all; one id came twice."""
    examples = [example(k, "yes" if k % 3 else "no", group=f"ü{k // 2}") for k in range(5)]
    parts = [examples[:3], examples[2:]]
    here, there = Consistency(by=("group",)), Consistency(by=("group",))
    here.update(["yes"] * 3, parts[0])
    there.update(["yes"] * 3, parts[1])
    other = torch.cat(there.rows)
    gathered = Consistency(
        by=("group",), dist_sync_fn=lambda mine, group: [mine, other], distributed_available_fn=lambda: True
    )
    gathered.update(["yes"] * 3, parts[0])
    one = Consistency(by=("group",))
    one.update(["yes"] * 5, examples)
    assert gathered.compute() == one.compute()
    assert one.compute()["accuracy"] == 0.6


REFERENCE = "a large red metal cube , a small blue rubber sphere , a small gray metal cylinder ."


def test_named_objects():
    assert named_objects("a large red metal cube , a blue ball , something .") == [
        {"size": "large", "color": "red", "material": "metal", "shape": "cube"},
        {"color": "blue"},
    ]
    assert named_objects("") == []


@pytest.mark.parametrize(
    ("prediction", "objects", "color", "shape"),
    [
        (REFERENCE, 1, 1, 1),
        ("", 0, 0, 0),
        ("a small blue rubber sphere , a small gray metal cylinder .", 2 / 3, 2 / 3, 2 / 3),
        (REFERENCE.replace("blue", "red"), 2 / 3, 2 / 3, 1),
        ("a large red metal cube , a large red metal cube , " + REFERENCE, 3 / 5, 3 / 5, 3 / 5),
        (
            "a small gray metal cylinder , a small blue rubber sphere , a large red metal cube .",
            1 / 3,
            1 / 3,
            1 / 3,
        ),
    ],
)
def test_attribute_shares_by_hand(prediction, objects, color, shape):
    shares = attribute_shares(prediction, REFERENCE)
    assert (shares["objects"], shares["color"], shares["shape"]) == pytest.approx((objects, color, shape))


things = st.lists(
    st.tuples(*(st.sampled_from(values) for values in ATTRIBUTES.values())), min_size=1, max_size=4
)  # fmt: skip


@given(things, things)
def test_alignment_is_the_best_of_all_that_keep_order(wanted, given_):
    """Brute force: every choice of equally many objects on both sides, in order."""
    best = 0
    for n in range(1, min(len(wanted), len(given_)) + 1):
        for left, right in itertools.product(
            itertools.combinations(wanted, n), itertools.combinations(given_, n)
        ):
            best = max(
                best, sum(x == y for a, b in zip(left, right, strict=True) for x, y in zip(a, b, strict=True))
            )
    say = [" , ".join("a " + " ".join(o) for o in side) + " ." for side in (given_, wanted)]
    shares = attribute_shares(*say)
    assert shares["attributes"] == pytest.approx(best / 4 / max(len(wanted), len(given_)))
    assert shares["objects"] <= shares["attributes"] + 1e-12 <= 1 + 2e-12


def test_caption_metric():
    examples = [
        example(0, REFERENCE, "caption"),
        example(1, ("a large green rubber cube .", REFERENCE), "caption"),
    ]
    metric = CaptionMetric()
    metric.update([REFERENCE, "a large green rubber sphere ."], examples)
    values = metric.compute()
    assert values["caption_attributes"] == pytest.approx((1 + 3 / 4) / 2)
    assert values["caption_objects"] == 0.5
    assert (values["caption_shape"], values["caption_color"]) == (0.5, 1)
    assert 0 < values["cider"] < 10
    assert metric.score(REFERENCE, examples[0]) == 1
    photographs = CaptionMetric(attributes=False)
    photographs.update(
        ["a dog runs", "two cats"], [example(0, "a dog  runs", "caption"), example(1, "a cat", "caption")]
    )
    assert set(photographs.compute()) - {"meteor"} == {  # which takes a Java
        "cider", "rouge_l", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "stanford_tokens",
    }  # fmt: skip
    assert photographs.score("two cats", example(1, "a cat", "caption")) == 0


def test_bad_input():
    metric = Accuracy()
    with pytest.raises(ValueError, match="1 predictions and 2 likelihoods for 2 examples"):
        metric.update(["yes"], [example(0), example(1)])
    metric.update([], [])
    with pytest.raises(ValueError, match="0 examples were seen"):
        metric.compute()
    grouped = Consistency()
    grouped.update(["yes"], [example(0, type="exist")])
    with pytest.raises(ValueError, match=r"example 0 has the tags \['type'\]: consistency needs 'group'"):
        grouped.compute()
    with pytest.raises(ValueError, match="0 training examples"):
        majority([], [example(0)])
    with pytest.raises(ValueError, match="names no object"):
        attribute_shares("a red cube", "two dogs")
