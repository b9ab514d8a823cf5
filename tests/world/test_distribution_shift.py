"""Each shift does what it says, and nothing else."""

import json
from itertools import combinations

import numpy as np
import pytest

from bridgelab.benchmark.clevr import program_tags
from bridgelab.benchmark.world import World
from bridgelab.world.distribution_shift import SHIFTS, changed_fields, parse_split
from bridgelab.world.render import object_mask, render
from bridgelab.world.scene import CLEARANCE, MARGIN, Scene
from bridgelab.world.split import split_scene
from bridgelab.world.write import write_world

N = 12


def scenes(split: str, number: int = N) -> list[Scene]:
    return [split_scene(split, 0, k) for k in range(number)]


def read(folder, split):
    return json.loads((folder / f"questions/CLEVR_{split}_questions.json").read_text())["questions"]


@pytest.mark.parametrize("name", [name for name, shift in SHIFTS.items() if not shift.redraws_scenes])
def test_a_shift_that_leaves_scenes_alone_pairs_with_the_plain_split(name):
    assert [s.objects for s in scenes(f"test-{name}")] == [s.objects for s in scenes("test")]


@pytest.mark.parametrize("name", [name for name, shift in SHIFTS.items() if shift.redraws_scenes])
def test_a_shift_that_redraws_shares_no_scene(name):
    plain = {s.objects for s in scenes("test")}
    assert not plain & {s.objects for s in scenes(f"test-{name}")}


def test_many_objects_keep_the_margins():
    numbers = set()
    for scene in scenes("test-many", 30):
        numbers.add(len(scene.objects))
        for a, b in combinations(scene.objects, 2):
            assert min(abs(a.x - b.x), abs(a.y - b.y)) >= MARGIN
            assert np.hypot(a.x - b.x, a.y - b.y) >= a.radius + b.radius + CLEARANCE - 1e-3
    assert min(numbers) == 11
    assert max(numbers) == 16


def test_sizes_and_colours():
    assert {o.size for s in scenes("test-small") for o in s.objects} == {"small"}
    assert {o.size for s in scenes("test-large") for o in s.objects} == {"large"}
    colors = {}
    for split in ("val-cogent_a", "val-cogent_b"):
        for shape in ("cube", "cylinder", "sphere"):
            colors[split[-1], shape] = {
                o.color for s in scenes(split, 60) for o in s.objects if o.shape == shape
            }
    cubes = {"gray", "blue", "brown", "yellow"}
    assert colors["a", "cube"] == colors["b", "cylinder"] == cubes
    assert colors["a", "cylinder"] == colors["b", "cube"] == {"red", "green", "purple", "cyan"}
    assert len(colors["a", "sphere"]) == len(colors["b", "sphere"]) == 8


def test_hidden_scenes_have_an_object_that_is_half_hidden():
    """By masks of the scene and of each object drawn alone."""
    for scene in scenes("test-hidden", 6):
        mask = object_mask(scene)
        shares = [
            (mask == k).sum() / (object_mask(Scene((thing,))) == 0).sum()
            for k, thing in enumerate(scene.objects)
        ]
        assert 0.15 <= min(shares) <= 0.5


def test_clutter_changes_the_image_alone():
    for plain, shifted in zip(scenes("test", 4), scenes("test-clutter", 4), strict=True):
        before, after = object_mask(plain), object_mask(shifted)
        assert (after[after != before] == -1).all()  # a speck may stand before an object, never count as one
        assert len(shifted.specks) == 24
        difference = np.abs(render(plain).astype(int) - render(shifted)).max(-1)
        assert (difference > 8).mean() > 0.3
        for speck in shifted.specks:
            for thing in shifted.objects:
                assert np.hypot(speck.x - thing.x, speck.y - thing.y) > thing.radius + speck.radius
    only = {name: render(split_scene(f"test-{name}", 0, 0)) for name in ("specks", "texture", "clutter")}
    assert len({image.tobytes() for image in only.values()}) == 3


def test_a_pattern_changes_the_ground_s_light_by_its_contrast():
    shifted, plain = split_scene("test-texture", 0, 0), split_scene("test", 0, 0)
    ground = (object_mask(plain) == -1) & (np.indices((96, 96))[0] > 60)
    ratio = ((render(shifted) / 255.0) ** 2.2 / (render(plain) / 255.0) ** 2.2)[ground]
    assert ratio.min() == pytest.approx(0.5, abs=0.08)
    assert ratio.max() == pytest.approx(1.5, abs=0.12)


def test_questions_are_the_plain_ones_where_scenes_are(tmp_path):
    for split in ("test", "test-clutter", "test-fine"):
        write_world(tmp_path, split, 6, questions_per_image=5)
    questions = [[(q["question"], q["answer"]) for q in read(tmp_path, s)] for s in ("test", "test-clutter")]
    assert questions[0] == questions[1]


def test_a_shift_is_a_split_of_the_benchmark(tmp_path):
    world = World(tmp_path, images={"test-fine": 2}, questions_per_image=5, processes=1)
    assert {e.tags["shift"] for e in world.examples("test-fine")} == {"fine"}
    done = json.loads((tmp_path / "test-fine.done").read_text())
    assert (done["size"], done["shift"]) == (192, {"pixels": 2.0})
    older = {"bend" if key == "shift" else key: value for key, value in done.items()}
    (tmp_path / "test-fine.done").write_text(json.dumps(older))
    assert world.examples("test-fine"), "a split drawn before the key was renamed is read"


def test_a_shift_of_all_splits_that_name_none(tmp_path):
    """CoGenT: trained on and tested under one condition, and put to the other."""
    images = {"train": 3, "test": 4, "test-cogent_b": 4}
    world = World(tmp_path, images=images, processes=1, shift="cogent_a")
    assert world.splits == tuple(images)
    for split, shift in (("train", "cogent_a"), ("test", "cogent_a"), ("test-cogent_b", "cogent_b")):
        found = world.examples(split)
        assert {e.tags["shift"] for e in found} == {shift}
        base = split.split("-")[0]
        assert all(f"/images/{base}-{shift}/" in e.images[0] for e in found)
    with pytest.raises(ValueError, match="has the shift 'fog'"):
        World(tmp_path, shift="fog")


@pytest.mark.parametrize(
    ("shift", "hops"), [("longer", {4, 5}), ("relations", {1, 2, 3}), ("counting", {0, 1, 2, 3})]
)
def test_questions_of_a_shift(tmp_path, shift, hops):
    write_world(tmp_path, f"test-{shift}", 30, questions_per_image=4)
    tags = [program_tags(q["program"]) for q in read(tmp_path, f"test-{shift}")]
    assert {t["hops"] for t in tags} == hops
    assert {t["family"].split("_")[1] for t in tags} == {"hop"}
    if shift == "counting":
        assert {t["type"] for t in tags} == {"count"}


def test_changed_fields_are_those_of_the_shift():
    assert changed_fields(parse_split("test")[1]) == {}
    assert changed_fields(parse_split("val-clutter")[1]) == {"specks": 24, "texture": 0.5}
    assert changed_fields(SHIFTS["many"]) == {"objects": [11, 16]}


def test_an_unknown_shift_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has the shift 'fog': must be one of many, .*clutter"):
        write_world(tmp_path, "test-fog", 1)
    with pytest.raises(ValueError, match="has the shift 'fog'"):
        World(tmp_path, images={"test-fog": 1})
