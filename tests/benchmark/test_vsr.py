"""VSR's reader on the published annotations, and on small ones in their layout."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from bridgelab.benchmark.vsr import Vsr

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
DATA = SHARED / "annotations" / "vsr"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA} (VSR) is not here: set BRIDGELAB_SHARED_DATA"
)
LINE = {
    "image": "1.jpg",
    "caption": "The cat is on the bed.",
    "label": 1,
    "relation": "on",
    "annotator_id": 3,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The real annotations, with an empty file for each image."""
    root = tmp_path_factory.mktemp("vsr")
    (root / "splits").symlink_to(DATA.resolve())
    (root / "images").mkdir()
    lines = [json.loads(line) for path in DATA.glob("*/*.jsonl") for line in path.read_text().splitlines()]
    for name in {line["image"] for line in lines}:
        (root / "images" / name).touch()
    return root


@needs_data
@pytest.mark.parametrize(
    ("variant", "counts", "true"),
    [("random", (7680, 1097, 2195), 1181), ("zeroshot", (3489, 340, 1222), 629)],
)
def test_published_annotations(published, variant, counts, true):
    vsr = Vsr(published, variant=variant, prompt="true ? {caption}")
    splits = {split: vsr.examples(split) for split in vsr.splits}
    assert tuple(map(len, splits.values())) == counts
    assert Counter(e.answers for e in splits["test"]) == {("true",): true, ("false",): counts[2] - true}
    assert all(e.prompt.startswith("true ? The ") or e.prompt.startswith("true ? ") for e in splits["test"])
    types = Counter(e.tags["type"] for examples in splits.values() for e in examples)
    assert types.pop("without a group", 0) <= 1  # 'congruent', which the authors' table lacks too
    assert set(types) == {
        "adjacency", "directional", "orientation", "projective", "proximity", "topological", "unallocated",
    }  # fmt: skip


@needs_data
def test_accuracy_by_relation(published):
    """Against plain counting over the file."""
    examples = Vsr(published).examples("test")
    metric = Vsr(published).metrics()["true_false"]
    metric.update(["true"] * len(examples), examples)
    values = metric.compute()
    lines = [json.loads(line) for line in (DATA / "random" / "test.jsonl").read_text().splitlines()]
    assert values["accuracy"] == pytest.approx(1181 / 2195)
    for relation in ("on", "touching", "at the left side of"):
        own = [line["label"] for line in lines if line["relation"] == relation]
        assert values[f"accuracy/relation={relation}"] == pytest.approx(sum(own) / len(own))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "splits" / "random").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    write(tmp_path, LINE, LINE | {"label": 0, "relation": "congruent"})
    return tmp_path


def write(root, *lines):
    (root / "splits" / "random" / "test.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


def test_made_up(root):
    first, second = Vsr(root, prompt="is it so ? {caption}").examples("test")
    assert first.prompt == "is it so ? The cat is on the bed."
    assert (first.id, first.answers, second.answers) == ("test-0", ("true",), ("false",))
    assert first.tags == {"type": "topological", "relation": "on"}
    assert second.tags["type"] == "without a group"


def test_bad_input(root):
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl is missing\. Expected layout: splits/"):
        Vsr(root).examples("train")
    with pytest.raises(ValueError, match="variant='hard': must be one of random, zeroshot"):
        Vsr(root, variant="hard")
    with pytest.raises(ValueError, match=r"must hold \{caption\}"):
        Vsr(root, prompt="true ?")
    with pytest.raises(ValueError, match="split='dev': must be one of train, val, test"):
        Vsr(root).examples("dev")
    write(root, LINE, LINE | {"label": 2})
    with pytest.raises(ValueError, match="random test, caption 1: label=2 must be 0 or 1"):
        Vsr(root).examples("test")
    write(root, LINE | {"label": "1"})
    with pytest.raises(ValueError, match=r"line 1 is malformed \(label='1'\)"):
        Vsr(root).examples("test")
    write(root, [LINE])
    with pytest.raises(ValueError, match=r"line 1 is malformed \(it is a list\)"):
        Vsr(root).examples("test")
    write(root)
    with pytest.raises(ValueError, match="holds 0 examples"):
        Vsr(root).examples("test")
