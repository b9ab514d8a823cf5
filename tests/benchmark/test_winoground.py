"""Winoground's reader on an item in the layout that its loading script reads."""

import json

import pandas as pd
import pytest

from bridgelab.benchmark.winoground import Winoground
from bridgelab.statistics.difficulty_levels import numeric_tags

LINE = {
    "id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1",
    "caption_0": "a dog chases a cat", "caption_1": "a cat chases a dog",
    "tag": "Noun", "secondary_tag": "", "num_main_preds": 1, "collapsed_tag": "Object",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    for image in (0, 1):
        (tmp_path / "images" / f"ex_0_img_{image}.png").touch()
    write(tmp_path, LINE)
    return tmp_path


def write(root, *lines):
    (root / "examples.jsonl").write_text("\n".join(map(json.dumps, lines)))


def test_an_item_is_two_examples(root):
    first, second = Winoground(root, prompt="say").examples("test")
    assert (first.id, first.answers, second.answers) == ("0-0", (LINE["caption_0"],), (LINE["caption_1"],))
    assert first.choices == second.choices == (LINE["caption_0"], LINE["caption_1"])
    assert second.images == (str(root / "images" / "ex_0_img_1.png"),)
    assert second.tags == {
        "type": "Object",
        "swap": "Noun",
        "also": "",
        "main_preds": 1,
        "group": "0",
        "image": "1",
    }
    tagged = pd.DataFrame([{f"tag_{name}": value for name, value in e.tags.items()} for e in (first, second)])
    assert set(numeric_tags(tagged)) == {"main_preds"}
    metric = Winoground(root).metrics()["choice"]
    metric.update([LINE["caption_0"], LINE["caption_1"]], [first, second], [[-1.0, -2.0], [-3.0, -2.5]])
    values = metric.compute()
    assert (values["text_score"], values["image_score"], values["group_score"]) == (1, 0, 0)
    assert values["text_score/main_preds=1"] == values["text_score/type=Object"] == 1


def test_bad_input(root):
    with pytest.raises(ValueError, match="split='val': winoground was published for evaluation only"):
        Winoground(root).examples("val")
    write(root, LINE, LINE)
    with pytest.raises(ValueError, match=r"id '0-[01]' occurs 2 times"):
        Winoground(root).examples("test")
    write(root, LINE | {"caption_1": LINE["caption_0"]})
    with pytest.raises(ValueError, match="at least two that differ"):
        Winoground(root).examples("test")
    write(root, LINE | {"caption_1": None})
    with pytest.raises(ValueError, match=r"line 1 is malformed \(caption_1=None\)"):
        Winoground(root).examples("test")
    (root / "examples.jsonl").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"examples\.jsonl is missing\. Expected layout: examples\.jsonl, images/"
    ):
        Winoground(root).examples("test")
