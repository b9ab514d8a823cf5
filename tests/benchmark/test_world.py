"""The built-in world as a benchmark: drawn once, by one job, and never over another world."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridgelab.benchmark import world as module
from bridgelab.benchmark.world import World

TINY = {"train": 4, "val": 3}


def test_drawn_on_first_use_and_read_after(tmp_path, monkeypatch):
    world = World(tmp_path / "w", images=TINY, questions_per_image=4, objects=(3, 5), processes=1)
    assert (world.name, world.splits, world.kinds) == ("world", ("train", "val"), ("answer", "caption"))
    assert not world.root.exists()
    examples = world.examples("val")
    assert {p.name for p in world.root.glob("*.done")} == {"val.done"}
    assert len({e.images for e in examples}) == 3
    assert all(e.tags.keys() == {"type", "family", "program_length", "hops", "objects"} for e in examples)
    assert all(3 <= e.tags["objects"] == e.words.count(" . ") + 1 <= 5 for e in examples)

    def forbidden(*args, **kwargs):
        raise AssertionError("drawn twice")

    monkeypatch.setattr(module, "write_world", forbidden)
    assert world.examples("val") == examples
    captions = world.examples("val", "caption")
    assert len(captions) == 12  # four orders an image
    for e in captions:
        assert e.answers[0].count(" , ") + 1 == e.tags["objects"]


def test_family_tags_agree_with_the_families_that_were_asked(tmp_path):
    """The tag is worked out from the program alone; the writer knows which template it used."""
    world = World(tmp_path, images={"val": 12}, processes=1)
    asked_families = set()
    examples = world.examples("val")
    asked = json.loads((tmp_path / "questions" / "CLEVR_val_questions.json").read_text())["questions"]
    for e, q in zip(examples, asked, strict=True):
        assert q["question_family"].startswith(e.tags["family"])
        asked_families.add(e.tags["family"])
    assert len(asked_families) == 9


def test_other_arguments_are_refused(tmp_path):
    World(tmp_path, images=TINY, questions_per_image=2, processes=1).examples("val")
    World(tmp_path, images=TINY | {"test": 9}, questions_per_image=2, processes=2).examples("val")
    for change, message in (
        (
            {"images": {"val": 4}},
            r"val\.done was drawn with images=3, but 4 is requested.*benchmark\.root to a new folder",
        ),
        ({"seed": 5}, "seed=0, but 5 is requested"),
        ({"size": 64, "objects": (3, 4)}, r"objects=\[3, 10\], but \[3, 4\] is requested, size=96, but 64"),
    ):
        with pytest.raises(ValueError, match=message):
            World(tmp_path, **({"images": TINY, "questions_per_image": 2} | change)).examples("val")


def test_a_shifted_split_has_as_many_images_unless_it_is_given_a_number(tmp_path):
    drawn = {}
    for root, images in (
        ("a", TINY),
        ("b", TINY | {"val-clutter": TINY["val"]}),
        ("c", TINY | {"val-clutter": 2}),
    ):
        world = World(tmp_path / root, images=images, questions_per_image=2, processes=1)
        drawn[root] = world.examples("val-clutter")
    assert drawn["a"] == [
        replace(e, images=tuple(i.replace("/b/", "/a/") for i in e.images)) for e in drawn["b"]
    ]
    assert [len({e.images for e in drawn[root]}) for root in "ac"] == [TINY["val"], 2]


def test_a_world_without_its_mark_is_completed_or_left_alone(tmp_path):
    """Cut short before the mark: the same world is drawn again; another one is not written over."""
    world = World(tmp_path, images=TINY, questions_per_image=2, processes=1)
    examples = world.examples("val")
    (tmp_path / "val.done").unlink()
    (tmp_path / "scenes" / "CLEVR_val_scenes.json").unlink()
    with pytest.raises(ValueError, match=r"CLEVR_val_questions\.json was drawn with seed=0, but 1"):
        World(tmp_path, images=TINY, questions_per_image=2, seed=1).examples("val")
    assert world.examples("val") == examples


def test_a_world_of_another_generator_is_refused(tmp_path, monkeypatch):
    World(tmp_path, images=TINY, questions_per_image=2, processes=1).examples("val")
    monkeypatch.setattr(module, "GENERATOR", 99)
    with pytest.raises(ValueError, match=r"val\.done was drawn with generator=\d+, but 99 is requested"):
        World(tmp_path, images=TINY, questions_per_image=2).examples("val")


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"images\.val=0: must be at least 1"):
        World(tmp_path, images={"val": 0})
    with pytest.raises(ValueError, match="split='test': must be one of train, val"):
        World(tmp_path, images=TINY).examples("test")
    with pytest.raises(ValueError, match="split='val-cluter' has the shift 'cluter': must be one of "):
        World(tmp_path, images=TINY).examples("val-cluter")
    with pytest.raises(ValueError, match="kind='true_false': must be one of answer, caption"):
        World(tmp_path, images=TINY, questions_per_image=2, processes=1).examples("val", "true_false")


def _slow_write(out, split, *args, **kwargs):
    """In the place of `write_world`: leaves a note of each call, and takes long enough to be overtaken."""
    (Path(out) / f"call-{os.getpid()}").touch()
    time.sleep(0.5)


def _make(root):
    module.write_world = _slow_write
    World(root, images=TINY).make("val")


def test_two_jobs_at_once_draw_it_once(tmp_path):
    jobs = [multiprocessing.get_context("fork").Process(target=_make, args=(tmp_path,)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert len(list(tmp_path.glob("call-*"))) == 1
    assert json.loads((tmp_path / "val.done").read_text())["images"] == 3
