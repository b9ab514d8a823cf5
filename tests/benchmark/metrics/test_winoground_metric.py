"""Winoground's scores by hand, at ties, at chance, and of halves."""

import numpy as np
import pytest

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.winoground_metric import WinogroundMetric

CAPTIONS = ("a b", "b a")


def item(k, kind="Object"):
    return [
        Example(
            f"{k}-{image}", ("/x.png",), "say", (CAPTIONS[image],), "choice",
            {"type": kind, "group": str(k), "image": str(image)}, choices=CAPTIONS,
        )
        for image in (0, 1)
    ]  # fmt: skip


def scores(*items, kinds=None):
    """Items as ((s_00, s_10), (s_01, s_11)): of each image the log-probability of both captions."""
    metric = WinogroundMetric(by=("type",))
    rows = [list(row) for item_rows in items for row in item_rows]
    examples = [e for k in range(len(items)) for e in item(k, kinds[k] if kinds else "Object")]
    metric.update([CAPTIONS[int(np.argmax(row))] for row in rows], examples, rows)
    return metric.compute()


@pytest.mark.parametrize(
    ("given", "text", "image", "accuracy"),
    [
        (((-1, -2), (-2, -1)), 1, 1, 1),
        (((-1, -2), (-5, -4)), 1, 0, 1),  # the second image is dark: neither caption is likely there
        (((-3, -2), (-9, -1)), 0, 1, 0.5),  # caption 1 is easier, yet each prefers its own image
        (((-2, -1), (-1, -2)), 0, 0, 0),
        (((-1, -1), (-2, -1)), 0, 0, 1),  # a tie fails, though the first of two equals is right
        (((-1, -2), (-1, -1)), 0, 0, 0.5),
    ],
)
def test_by_hand(given, text, image, accuracy):
    values = scores(given)
    assert (values["text_score"], values["image_score"]) == (text, image)
    assert values["group_score"] == text * image
    assert (values["accuracy"], values["groups"]) == (accuracy, 1)


def test_chance():
    rng = np.random.default_rng(0)
    values = scores(*rng.normal(size=(3000, 2, 2)))
    assert values["text_score"] == pytest.approx(1 / 4, abs=0.03)
    assert values["image_score"] == pytest.approx(1 / 4, abs=0.03)
    assert values["group_score"] == pytest.approx(1 / 6, abs=0.03)


def test_by_tag_and_halves():
    right, wrong = ((-1, -2), (-2, -1)), ((-2, -1), (-1, -2))
    values = scores(right, wrong, right, kinds=["Object", "Relation", "Relation"])
    assert values["group_score/type=Object"] == 1
    assert values["text_score/type=Relation"] == values["accuracy/type=Relation"] == 0.5
    metric = WinogroundMetric(by=("type",))
    both, half = item(0), item(1, "Both")[:1]
    metric.update([CAPTIONS[0], CAPTIONS[1], CAPTIONS[1]], both + half, [[-1, -2], [-2, -1], [-2, -1]])
    values = metric.compute()
    assert (values["group_score"], values["groups"]) == (1, 1)
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert "group_score/type=Both" not in values


def test_bad_input():
    metric = WinogroundMetric()
    metric.check(item(0))
    with pytest.raises(ValueError, match="2 examples hold 0 items with both images"):
        metric.check([*item(0)[:1], *item(1)[:1]])  # before anything is predicted
    metric.update([CAPTIONS[0]], item(0)[:1], [[-1.0, -2.0]])
    with pytest.raises(ValueError, match="1 examples hold 0 items with both images: at least 1 is needed"):
        metric.compute()
    metric.reset()
    metric.update(list(CAPTIONS), item(0))
    with pytest.raises(
        ValueError, match=r"example 0-0 has the tags \['group', 'image', 'type'\] and the likelihoods None"
    ):
        metric.compute()
