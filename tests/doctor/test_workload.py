import json

import pytest

from bridgelab.benchmark.world import World
from bridgelab.doctor.dry_run import Lengths
from bridgelab.doctor.meta_models import tokenizer
from bridgelab.doctor.workload import ASSUMED, published, volume


@pytest.mark.parametrize(
    ("head", "images", "examples"),
    [
        ("# VQAv2: 443,757 + 214,354 questions of 82,783 + 40,504 COCO photographs.\nx: 1 images", (82_783, 40_504), (443_757, 214_354)),
        ("# CLEVR: 70,000 + 15,000 images, 700,000 +\n# 150,000 questions with answers.\n", (70_000, 15_000), (700_000, 150_000)),
        ("# COCO: 113,287 / 5,000 / 5,000 photographs, five captions each.\n", (113_287, 5_000, 5_000), None),
        ("# POPE: 3 × 3,000 questions on 500 photographs.\n", (500,), (9_000,)),
        ("# NLVR (2017): true or false of 400×100 pictures, dev .5531\n", None, None),
        ("x: 5 images\n# 6 images\n", None, None),
    ],
)  # fmt: skip
def test_numbers_are_read_from_a_yamls_first_comment(head, images, examples):
    found = published(head)
    assert (found.get("images"), found.get("examples")) == (images, examples)


def test_a_world_that_is_there_is_counted(composed, tmp_path):
    sizes = {"train": 5, "val": 3, "test": 4}
    world = World(tmp_path, images=sizes, processes=1, questions_per_image=3)
    for split in sizes:
        world.make(split)
    config = composed(
        f"benchmark.root={tmp_path}", "benchmark.processes=1", "benchmark.questions_per_image=3",
        "train.batch_size=2", "evaluate.limit.answer=7", *(f"benchmark.images.{k}={v}" for k, v in sizes.items()),
    )  # fmt: skip
    found = volume(config, tokenizer("miniature"), {}, "# 9,999 images\n")
    assert (found.source, found.problem) == ("the data", None)
    assert (found.images, found.each, found.asked) == (12, 1, 4)
    asked = json.loads((tmp_path / "questions" / "CLEVR_train_questions.json").read_text())["questions"]
    captions = json.loads((tmp_path / "captions" / "CLEVR_train_captions.json").read_text())["captions"]
    assert found.examples == len(asked) + len(captions)
    assert found.tested["answer"].examples == 7
    assert found.tested["caption"].tokens > found.tested["answer"].tokens >= 2
    shares = {name: share for name, (share, _) in found.pools.items()}
    assert sum(shares.values()) == pytest.approx(1)
    weights = {"answer": 0.45, "caption": 0.15, "simple_caption": 0.4}  # train.stages'
    drawn = sum(weights[name] for name in shares)
    assert shares == pytest.approx({name: weights[name] / drawn for name in shares}, abs=0.02)
    assert found.pools["caption"][1].target > found.pools["answer"][1].target
    assert found.longest.target >= max(lengths.target for _, lengths in found.pools.values())
    assert all(path.endswith(".png") for path in found.some)


def test_a_world_that_is_not_there_is_not_drawn_by_a_look(composed, tmp_path):
    root = tmp_path / "world"
    found = volume(composed(f"benchmark.root={root}"), tokenizer("miniature"), {}, "")
    assert not root.exists()
    assert found.problem is None
    assert found.images == 7500
    assert found.examples == pytest.approx(6000 * 11, rel=0.5)
    assert found.tested["answer"].examples == pytest.approx(10_000, rel=0.3)
    assert found.some == ()


def test_data_that_are_not_there_are_counted_as_published(composed, tmp_path):
    config = composed("benchmark=clevr", f"benchmark.root={tmp_path}", "evaluate.limit.answer=1000")
    head = "# CLEVR: 70,000 + 15,000 images, 700,000 + 150,000 questions.\n"
    found = volume(config, None, {}, head)
    assert "is missing. Expected layout" in found.problem
    assert found.source == "published numbers, lengths assumed"
    assert (found.images, found.examples) == (85_000, 700_000)
    assert found.tested["answer"].examples == 1000
    assert found.pools == {"answer": (1.0, ASSUMED)}
    unknown = volume(config, None, {}, "")
    assert (unknown.images, unknown.examples, unknown.tested) == (None, None, {})
    assert unknown.source.startswith("nothing: give images=N")
    given = volume(config, None, {"images": (10, 2)}, head)
    assert (given.images, given.examples, given.source) == (12, 700_000, "as given, lengths assumed")


def test_texts_are_measured_without_a_tokenizer_too(composed, tmp_path):
    found = volume(composed(f"benchmark.root={tmp_path}/world"), None, {}, "")
    assert Lengths(8, 1) != found.longest
    assert found.longest.prompt % 8 == 0
