import json
import re

import pytest
import yaml

from bridgelab.benchmark.world import World
from bridgelab.doctor.random_models import tokenizer
from bridgelab.doctor.workload import ASSUMED, SPLITS, Lengths, read_workload
from bridgelab.training.main import ROOT

CONF = ROOT / "conf"


COUNT = r"(?<![\d×.,])(?:(\d+) × )?(\d[\d,]*(?: [+/] \d[\d,]*)*)"
NOUNS = {
    "images": "images|photographs|pictures",
    "examples": "questions|sentences|captions|statements|examples",
}


def told(yaml):
    """The numbers of images and examples that a yaml's first comment tells."""
    comment = " ".join(re.match(r"(?:#.*\n)*", yaml)[0].replace("#", " ").split())
    for what, noun in NOUNS.items():
        if match := re.search(rf"{COUNT} (?:[\w-]+ ){{0,2}}(?:{noun})\b", comment):
            times, numbers = match.groups()
            yield what, [int(times or 1) * int(one.replace(",", "")) for one in re.split(r" [+/] ", numbers)]


PUBLISHED = {path.stem for path in (CONF / "benchmark").glob("*.yaml") if dict(told(path.read_text()))} - {
    "world"
}


def test_most_benchmarks_tell_their_sizes():
    assert {"clevr", "coco_captions", "easy_vqa", "flickr30k", "gqa", "pope", "vqav2", "vsr"} <= PUBLISHED


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_sizes_are_those_of_a_yamls_first_comment(name):
    text = (CONF / "benchmark" / f"{name}.yaml").read_text()
    published = yaml.safe_load(text)["published"]
    for what, numbers in told(text):
        sizes = list(published[what].values())
        expected = [sum(sizes)] if len(numbers) == 1 else sizes
        assert numbers == pytest.approx(expected, rel=1e-3), what


def test_a_world_that_is_there_is_counted(composed, tmp_path):
    sizes = {"train": 5, "val": 3, "test": 4}
    world = World(tmp_path, images=sizes, processes=1, questions_per_image=3)
    for split in sizes:
        world.make(split)
    config = composed(
        f"benchmark.root={tmp_path}", "benchmark.processes=1", "benchmark.questions_per_image=3",
        "train.batch_size=2", "evaluate.limit.answer=7", *(f"benchmark.images.{k}={v}" for k, v in sizes.items()),
    )  # fmt: skip
    found = read_workload(config, tokenizer("miniature"), {})
    assert (found.source, found.problem) == ("the data", None)
    assert (found.images, found.images_per_example, found.captioned) == (12, 1, 4)
    asked = json.loads((tmp_path / "questions" / "CLEVR_train_questions.json").read_text())["questions"]
    captions = json.loads((tmp_path / "captions" / "CLEVR_train_captions.json").read_text())["captions"]
    assert found.examples == len(asked) + len(captions)
    assert found.test["answer"].examples == 7
    assert found.test["caption"].tokens > found.test["answer"].tokens >= 2
    shares = {name: share for name, (share, _) in found.pools.items()}
    assert sum(shares.values()) == pytest.approx(1)
    weights = {"answer": 0.45, "caption": 0.15, "simple_caption": 0.4}  # train.stages'
    drawn = sum(weights[name] for name in shares)
    assert shares == pytest.approx({name: weights[name] / drawn for name in shares}, abs=0.02)
    assert found.pools["caption"][1].target > found.pools["answer"][1].target
    assert found.longest.target >= max(lengths.target for _, lengths in found.pools.values())
    assert all(file.startswith(b"\x89PNG") for file in found.image_files)
    assert len(found.image_hashes) == 12
    config.train.steps = 0  # what a step would read is the same
    none = read_workload(config, tokenizer("miniature"), {})
    assert (none.problem, none.images, none.test) == (None, 12, found.test)
    config.evaluate.limit.answer = 1  # question, of one image
    assert read_workload(config, tokenizer("miniature"), {}).captioned == 1


def test_a_limit_changes_the_batches_that_are_generated(composed, tmp_path):
    root = [
        "benchmark.processes=1",
        f"benchmark.root={tmp_path}",
        *(f"benchmark.images.{k}=40" for k in SPLITS),
    ]
    small, large = ("evaluate.batch_size=20", "evaluate.batch_size=1000")
    captions = {
        size: read_workload(composed(*root, size), tokenizer("miniature"), {}).test["caption"]
        for size in (small, large)
    }
    longest = captions[large].tokens  # one batch, which goes on until its longest caption ends
    assert captions[small].tokens < longest
    limited = read_workload(composed(*root, small, "evaluate.limit.caption=20"), tokenizer("miniature"), {})
    assert captions[small].tokens < limited.test["caption"].tokens <= longest


def test_a_world_that_is_not_there_is_not_drawn_by_a_look(composed, tmp_path):
    root = tmp_path / "world"
    found = read_workload(composed(f"benchmark.root={root}"), tokenizer("miniature"), {})
    assert not root.exists()
    assert found.problem is None
    assert found.images == 7500
    assert found.examples == pytest.approx(6000 * 11, rel=0.5)
    assert found.test["answer"].examples == pytest.approx(10_000, rel=0.3)
    assert found.image_files  # of the small world, which is drawn for its texts
    assert not found.image_hashes  # another world's features may hold these, and none of the others
    # Nor is a shifted one beside a plain one that is.
    sizes = dict.fromkeys(SPLITS, 2)
    plain = World(root, images=sizes, processes=1, questions_per_image=3)
    for split in SPLITS:
        plain.make(split)
    before = sorted(root.rglob("*"))
    images = [f"benchmark.images.{split}=2" for split in SPLITS]
    shifted = composed(
        f"benchmark.root={root}",
        "benchmark.processes=1",
        "+benchmark.shift=clutter",
        "evaluate.limit.answer=1",
        *images,
    )
    found = read_workload(shifted, tokenizer("miniature"), {})
    assert (found.problem, found.images, found.source) == (None, 6, "the world, to be drawn on first use")
    assert found.captioned == 1
    assert sorted(root.rglob("*")) == before


def test_a_tag_objects_that_is_no_number_makes_no_simple_caption(composed, tmp_path):
    """As in training."""
    rows = [
        {"image": f"{split}.png", "caption": "a cube", "split": split, "tags": {"objects": objects}}
        for split in SPLITS
        for objects in ("few", "many")
    ]
    for split in SPLITS:
        (tmp_path / f"{split}.png").write_bytes(b"not opened")
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_workload(composed("benchmark=own", f"benchmark.root={tmp_path}"), tokenizer("miniature"), {})
    assert (found.problem, found.examples, set(found.pools)) == (None, 2, {"caption"})


def test_data_that_are_not_there_are_counted_as_published(composed, tmp_path):
    config = composed("benchmark=clevr", f"benchmark.root={tmp_path}", "evaluate.limit.answer=1000")
    found = read_workload(config, None, {})
    assert "is missing. Expected layout" in found.problem
    assert found.source == "published numbers, lengths assumed"
    assert (found.images, found.examples) == (85_000, 699_989)
    assert found.test["answer"].examples == found.captioned == 1000
    assert found.pools == {"answer": (1.0, ASSUMED)}
    given = read_workload(config, None, {"images": {"train": 10, "test": 2}})
    assert (given.images, given.examples, given.source) == (12, 699_989, "as given, lengths assumed")
    del config.benchmark.published
    unknown = read_workload(config, None, {})
    assert (unknown.images, unknown.examples, unknown.test) == (None, None, {})
    assert unknown.source.startswith("nothing: give images=N")


def test_texts_are_measured_without_a_tokenizer_too(composed, tmp_path):
    found = read_workload(composed(f"benchmark.root={tmp_path}/world"), None, {})
    assert Lengths(8, 1) != found.longest
    assert found.longest.prompt % 8 == 0
