"""Attributes of named objects by hand, and their alignment against brute force."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgelab.benchmark.metrics.scene_attributes import attribute_shares, named_objects
from bridgelab.world.scene import ATTRIBUTES

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
def test_alignment_is_the_best_of_all_that_keep_order(expected, predicted):
    """Brute force: every choice of equally many objects on both sides, in order."""
    best = 0
    for n in range(1, min(len(expected), len(predicted)) + 1):
        for left, right in itertools.product(
            itertools.combinations(expected, n), itertools.combinations(predicted, n)
        ):
            best = max(
                best, sum(x == y for a, b in zip(left, right, strict=True) for x, y in zip(a, b, strict=True))
            )
    captions = [" , ".join("a " + " ".join(o) for o in objects) + " ." for objects in (predicted, expected)]
    shares = attribute_shares(*captions)
    assert shares["attributes"] == pytest.approx(best / 4 / max(len(expected), len(predicted)))
    assert shares["objects"] <= shares["attributes"] + 1e-12 <= 1 + 2e-12


def test_a_reference_without_objects():
    with pytest.raises(ValueError, match="names no object"):
        attribute_shares("a red cube", "two dogs")
