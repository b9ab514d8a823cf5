"""POPE's reader on the published questions, and on small ones in their layout."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from bridgelab.benchmark.pope import SETTINGS, Pope

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
DATA = SHARED / "annotations" / "pope"
LINE = {
    "question_id": 1,
    "image": "COCO_val2014_1.jpg",
    "text": "Is there a dog in the image?",
    "label": "yes",
}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} (POPE) is not here: set BRIDGELAB_SHARED_DATA")
def test_published_questions(tmp_path):
    (tmp_path / "val2014").mkdir()
    for line in (DATA / "coco_pope_random.json").read_text().splitlines():
        (tmp_path / "val2014" / json.loads(line)["image"]).touch()
    pope = Pope(tmp_path, questions=str(DATA.resolve()))
    examples = pope.examples("test")
    assert Counter((e.tags["setting"], e.answers[0]) for e in examples) == {
        (setting, answer): 1500 for setting in SETTINGS for answer in ("yes", "no")
    }
    assert len({e.images for e in examples}) == 500
    metric = pope.metrics()["answer"]
    metric.update(["Yes, there is."] * len(examples), examples)
    values = metric.compute()
    for setting in SETTINGS:  # of a model that always says yes, as the paper's first rows nearly are
        five = [
            values[f"{name}/setting={setting}"]
            for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")
        ]
        assert five == pytest.approx([0.5, 0.5, 1, 2 / 3, 1])


@pytest.fixture
def root(tmp_path):
    for folder in ("pope", "val2014"):
        (tmp_path / folder).mkdir()
    (tmp_path / "val2014" / LINE["image"]).touch()
    for setting in SETTINGS:
        write(tmp_path, setting, LINE, LINE | {"question_id": 2, "label": "no"})
    return tmp_path


def write(root, setting, *lines):
    (root / "pope" / f"coco_pope_{setting}.json").write_text("\n".join(map(json.dumps, lines)))


def test_made_up(root):
    examples = Pope(root, prompt="{question} yes or no ?").examples("test")
    assert [e.id for e in examples] == [f"{setting}-{k}" for setting in SETTINGS for k in (1, 2)]
    assert examples[0].prompt == "Is there a dog in the image? yes or no ?"
    assert Pope.splits == ("test",)


def test_bad_input(root):
    with pytest.raises(ValueError, match=r"split='train': pope was published for evaluation only"):
        Pope(root).examples("train")
    with pytest.raises(ValueError, match=r"must hold \{question\}"):
        Pope(root, prompt="?")
    write(root, "popular", LINE | {"label": "maybe"})
    with pytest.raises(
        ValueError, match=r"coco_pope_popular\.json, question 1: label='maybe' must be 'yes' or 'no'"
    ):
        Pope(root).examples("test")
    write(root, "popular", LINE, LINE)
    with pytest.raises(ValueError, match="id 'popular-1' occurs 2 times"):
        Pope(root).examples("test")
    (root / "pope" / "coco_pope_popular.json").write_text(json.dumps([LINE]))
    with pytest.raises(ValueError, match=r"coco_pope_popular\.json, line 1 is malformed \(it is a list\)"):
        Pope(root).examples("test")
    (root / "pope" / "coco_pope_popular.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"coco_pope_popular\.json is missing\. Expected layout: <questions>/"
    ):
        Pope(root).examples("test")
