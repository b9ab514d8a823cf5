"""Karpathy's captions, COCO's and Flickr30k's, from small files in their layout."""

import json

import pytest

from bridgelab.benchmark.coco_captions import CocoCaptions
from bridgelab.benchmark.metrics import caption_metric


def entry(k, split, *captions, filepath="val2014"):
    sentences = [{"raw": text, "tokens": text.lower().split(), "imgid": k, "sentid": 9} for text in captions]
    named = {} if filepath is None else {"filepath": filepath, "cocoid": 500 + k}
    return {
        "filename": f"{k}.jpg",
        "split": split,
        "imgid": k,
        "sentids": [9],
        "sentences": sentences,
        **named,
    }


@pytest.fixture
def root(tmp_path):
    write(
        tmp_path,
        entry(0, "train", "A dog runs.", "A  dog\nis running ", filepath="train2014"),
        entry(1, "restval", "A cat."),
        entry(2, "val", "Two cats.", "Cats!"),
        entry(3, "test", "A bird flies.", "The bird is flying."),
    )
    for folder in ("train2014", "val2014"):
        (tmp_path / folder).mkdir()
        for k in range(4):
            (tmp_path / folder / f"{k}.jpg").touch()
    return tmp_path


def write(root, *entries, name="dataset_coco.json"):
    (root / name).write_text(json.dumps({"images": entries, "dataset": "coco"}))


def test_coco(root, monkeypatch):
    monkeypatch.setattr(caption_metric, "stanford_jar", lambda: None)  # Java takes seconds
    captions = CocoCaptions(root, prompt="say")
    train, val, test = (captions.examples(split) for split in captions.splits)
    assert [e.answers for e in train] == [("A dog runs.",), ("A dog is running",), ("A cat.",)]
    assert [e.id for e in train] == ["train-0-0", "train-0-1", "train-1-0"]
    assert train[0].images == (str(root / "train2014" / "0.jpg"),)
    assert train[2].images == (str(root / "val2014" / "1.jpg"),)
    assert [e.answers for e in val + test] == [
        ("Two cats.", "Cats!"),
        ("A bird flies.", "The bird is flying."),
    ]
    metric = captions.metrics()["caption"]
    metric.update(["A bird flies"], test)
    values = metric.compute()
    assert values["bleu_1"] == pytest.approx(1)
    assert values["rouge_l"] == 1


def test_flickr30k_has_no_folders(root):
    write(root, entry(7, "test", "A man.", filepath=None), name="dataset_flickr30k.json")
    (root / "flickr30k-images").mkdir()
    (root / "flickr30k-images" / "7.jpg").touch()
    flickr = CocoCaptions(root, name="flickr30k", file="dataset_flickr30k.json", images="flickr30k-images")
    (only,) = flickr.examples("test")
    assert only.images == (str(root / "flickr30k-images" / "7.jpg"),)


def test_bad_input(root):
    with pytest.raises(ValueError, match="split='restval': must be one of train, val, test"):
        CocoCaptions(root).examples("restval")
    with pytest.raises(ValueError, match="kind='answer': must be one of caption"):
        CocoCaptions(root).examples("test", "answer")
    with pytest.raises(FileNotFoundError, match=r"other\.json is missing\. Expected layout: <file>"):
        CocoCaptions(root, file="other.json").examples("test")
    write(root, entry(0, "test", "A cat."), entry(0, "test", "A cat."))
    with pytest.raises(ValueError, match="id 'test-0' occurs 2 times"):
        CocoCaptions(root).examples("test")
    write(root, entry(0, "test", "A cat.") | {"sentences": "['A cat.']"})
    with pytest.raises(ValueError, match=r"image 0 is malformed \(TypeError.*Get the file again"):
        CocoCaptions(root).examples("test")
    write(root, entry(0, "test"))
    with pytest.raises(ValueError, match=r"answers=.* must be strings with text, at least one"):
        CocoCaptions(root).examples("test")
    (root / "dataset_coco.json").write_text(json.dumps([{"image_id": 1, "caption": "A cat."}]))
    with pytest.raises(ValueError, match=r"can't be read .* a list under 'images'"):
        CocoCaptions(root).examples("test")
