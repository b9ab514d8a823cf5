"""Splits: published parts, held-out shares, test only, and no image in two of them."""

import pytest

from bridgelab.benchmark.splits import PublishedSplits, check_share, draw_share, require_test

IMAGES = [str(k % 50) for k in range(200)]


def published(**changes):
    return PublishedSplits(
        **({"train": "a", "val": None, "test": "b", "val_share": 0.2, "seed": 0} | changes)
    )


def test_a_share_of_images_is_held_out():
    splits = published()
    assert (splits.names, splits.part("val"), splits.part("test")) == (("train", "val", "test"), "a", "b")
    train, val = splits.select("train", IMAGES), splits.select("val", IMAGES)
    assert [not t for t in train] == val
    assert sum(val) == 40
    assert len({i for i, kept in zip(IMAGES, val, strict=True) if kept}) == 10
    assert published().select("val", IMAGES[::-1]) == val[::-1]
    assert published(seed=1).select("val", IMAGES) != val


def test_published_parts_stay_whole():
    splits = published(val="c")
    assert (splits.names, splits.part("val")) == (("train", "val", "test"), "c")
    assert all([*splits.select("train", IMAGES), *splits.select("val", ["x"])])
    assert published(train=None).names == ("test",)
    assert published(test=None).names == ("train", "val")


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train"), ("val", "test")])
def test_an_image_in_two_splits(order):
    splits = published(test="a")
    splits.select(order[0], IMAGES)
    splits.select(order[0], IMAGES)
    with pytest.raises(
        ValueError,
        match=rf"\d+ images are in {order[1]} \(a\) and in {order[0]} \(a\).*benchmark\.{order[1]}",
    ):
        splits.select(order[1], IMAGES)


def test_bad_input():
    with pytest.raises(ValueError, match="train=None, val=None, test=None: train or test must name"):
        published(train=None, test=None)
    with pytest.raises(ValueError, match=r"train=None, val='c', test='b'.*only beside train"):
        published(train=None, val="c")
    with pytest.raises(ValueError, match=r"val_share=1\.0: must lie between"):
        published(val_share=1.0)
    for split in ("train", "val"):
        with pytest.raises(
            ValueError,
            match=rf"split='{split}': must be one of test, .*benchmark\.train=null.*bridgelab evaluate RUN benchmark",
        ):
            published(train=None).part(split)
    with pytest.raises(ValueError, match=r"a shows 1 image: at least 2.*benchmark\.val"):
        published().select("val", ["7", "7"])


def test_a_share():
    names = [str(k) for k in range(100)]
    drawn = draw_share(names, 0.2, 0)
    assert len(drawn) == 20
    assert drawn == draw_share(reversed([*names, *names]), 0.2, 0) != draw_share(names, 0.2, 1)
    assert len(draw_share(names[:3], 0.01, 0)) == 1
    assert check_share(0.5, "val_share") == 0.5


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_no_share(share):
    with pytest.raises(
        ValueError, match=rf"val_share={share}: must lie between 0 and 1. Set benchmark.val_share"
    ):
        check_share(share, "val_share")


def test_only_test():
    assert require_test("test", "pope") == "test"
    with pytest.raises(
        ValueError,
        match=r"split='train': pope was published for evaluation only and has no split but test\. Train on another",
    ):
        require_test("train", "pope")
    with pytest.raises(ValueError, match="split='dev': must be one of test"):
        require_test("dev", "pope")
