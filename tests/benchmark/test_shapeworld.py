"""ShapeWorld's reader on the published examples, and on small files in their layout."""

import os
from collections import Counter
from pathlib import Path

import pytest

from bridgelab.benchmark.shapeworld import ShapeWorld

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
DATA = SHARED / "ShapeWorld"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} (ShapeWorld) is not here: set BRIDGELAB_SHARED_DATA")
def test_the_published_examples():
    world = ShapeWorld(DATA)
    splits = {split: world.examples(split) for split in world.splits}
    assert [len(examples) for examples in splits.values()] == [17 * 25 * 5, 17 * 5 * 5, 17 * 20 * 5]
    everything = [e for examples in splits.values() for e in examples]
    assert len({e.images for e in everything}) == 17 * 50
    assert Counter(e.answers[0] for e in everything) == {"true": 2130, "false": 2120}
    assert len({e.id for e in everything}) == 4250
    assert Counter(e.tags["type"] for e in splits["test"]) == {
        "existential": 300, "logical": 200, "quantification": 300, "quantification_complex": 100, "relational": 500,
        "selection": 300,
    }  # fmt: skip
    first = next(e for e in everything if e.id == "existential-full-0-1")
    assert first.prompt == "a pentagon is yellow ."
    other = ShapeWorld(DATA, seed=1).examples("test")
    assert {e.id for e in other} != {e.id for e in splits["test"]}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "existential-full"
    folder.mkdir()
    (folder / "caption.txt").write_text("a\nb\n\nc\nd\n\ne\nf\n")
    (folder / "agreement.txt").write_text("1.0;0.0\n0.0;0.0\n1.0;1.0\n")
    for world in range(3):
        (folder / f"world-{world}.png").touch()
    return tmp_path


def test_made_up(root):
    world = ShapeWorld(root, prompt="so ? {caption}", test_share=0.34, val_share=0.34)
    by_id = {e.id: e for split in world.splits for e in world.examples(split)}
    assert {e.prompt[-1]: e.answers[0] for e in by_id.values()} == {
        "a": "true", "b": "false", "c": "false", "d": "false", "e": "true", "f": "true",
    }  # fmt: skip
    assert by_id["existential-full-1-0"].images == (str(root / "existential-full" / "world-1.png"),)
    assert by_id["existential-full-1-0"].tags == {"type": "existential", "generator": "existential-full"}


def test_bad_input(root, tmp_path_factory):
    folder = root / "existential-full"
    with pytest.raises(FileNotFoundError, match=r"caption\.txt is missing\. Expected layout: <generator>/"):
        ShapeWorld(tmp_path_factory.mktemp("empty")).examples("test")
    with pytest.raises(ValueError, match=r"val_share \+ test_share=1\.1: must lie between 0 and 1"):
        ShapeWorld(root, val_share=0.5, test_share=0.6)
    (folder / "agreement.txt").write_text("1.0;0.0\n0.0;0.5\n1.0;1.0\n")
    with pytest.raises(ValueError, match=r"agreement\.txt, image 1: agreement '0\.5' must be 0\.0 or 1\.0"):
        ShapeWorld(root).examples("test")
    (folder / "agreement.txt").write_text("1.0;0.0\n0.0\n1.0;1.0\n")
    with pytest.raises(ValueError, match="each caption needs one agreement"):
        ShapeWorld(root).examples("test")
    (folder / "agreement.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"agreement\.txt is missing"):
        ShapeWorld(root).examples("test")
