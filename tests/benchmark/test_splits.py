"""Splits from published parts: what is held out, and that no image is on both sides."""

import pytest

from bridgelab.benchmark.splits import Parts

IMAGES = [str(k % 50) for k in range(200)]


def parts(**changes):
    return Parts(**({"train": "a", "val": None, "test": "b", "val_share": 0.2, "seed": 0} | changes))


def test_a_share_of_images_is_held_out():
    made = parts()
    assert (made.splits, made.of("val"), made.of("test")) == (("train", "val", "test"), "a", "b")
    train, val = made.keep("train", IMAGES), made.keep("val", IMAGES)
    assert [not t for t in train] == val
    assert sum(val) == 40
    assert len({i for i, kept in zip(IMAGES, val, strict=True) if kept}) == 10
    assert parts().keep("val", IMAGES[::-1]) == val[::-1]
    assert parts(seed=1).keep("val", IMAGES) != val


def test_published_parts_stay_whole():
    made = parts(val="c")
    assert (made.splits, made.of("val")) == (("train", "val", "test"), "c")
    assert all([*made.keep("train", IMAGES), *made.keep("val", ["x"])])
    assert parts(train=None).splits == ("test",)
    assert parts(test=None).splits == ("train", "val")


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train"), ("val", "test")])
def test_an_image_in_two_splits(order):
    made = parts(test="a")
    made.keep(order[0], IMAGES)
    made.keep(order[0], IMAGES)
    with pytest.raises(
        ValueError,
        match=rf"\d+ images stand in {order[1]} \(a\) and in {order[0]} \(a\).*benchmark\.{order[1]}",
    ):
        made.keep(order[1], IMAGES)


def test_bad_input():
    with pytest.raises(ValueError, match="train=None, val=None, test=None: train or test must name"):
        parts(train=None, test=None)
    with pytest.raises(ValueError, match=r"train=None, val='c', test='b'.*only beside train"):
        parts(train=None, val="c")
    with pytest.raises(ValueError, match=r"val_share=1\.0: must lie between"):
        parts(val_share=1.0)
    for split in ("train", "val"):
        with pytest.raises(
            ValueError,
            match=rf"split='{split}': must be one of test, .*benchmark\.train=null.*bridgelab evaluate RUN benchmark",
        ):
            parts(train=None).of(split)
    with pytest.raises(ValueError, match=r"a shows 1 image: at least 2.*benchmark\.val"):
        parts().keep("val", ["7", "7"])
