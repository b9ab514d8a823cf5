import json

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.easy_vqa import EasyVqa
from bridgelab.explain.scene_annotations import SceneAnnotations
from bridgelab.world.questions.program import step
from bridgelab.world.write import write_world

# Three objects: a red cube, a blue sphere to its right, a red sphere to the right of both.
OBJECTS = [
    {"shape": "cube", "color": "red", "size": "small", "material": "rubber", "pixel_coords": [10.0, 20.0, 9.0]},
    {"shape": "sphere", "color": "blue", "size": "large", "material": "metal", "pixel_coords": [50.0, 20.0, 9.0]},
    {"shape": "sphere", "color": "red", "size": "small", "material": "metal", "pixel_coords": [90.0, 60.0, 9.0]},
]  # fmt: skip
RIGHT = [[1, 2], [2], []]
PROGRAMS = {
    # How many red things? Both red objects are visited.
    "red": ([step("scene"), step("filter_color", 0, value="red"), step("count", 1)], {0, 2}),
    # What color is the small cube? The result of `filter_size` is narrowed further, so no object is visited for being small alone.
    "cube": (
        [
            step("scene"), step("filter_size", 0, value="small"), step("filter_shape", 1, value="cube"),
            step("unique", 2), step("query_color", 3),
        ],
        {0},
    ),
    # How many spheres are right of the blue thing?
    "hop": (
        [
            step("scene"), step("filter_color", 0, value="blue"), step("unique", 1), step("relate", 2, value="right"),
            step("filter_shape", 3, value="sphere"), step("count", 4),
        ],
        {1, 2},
    ),
    # Is anything right of the blue thing? A relation's result is visited if no filter narrows it.
    "any": (
        [
            step("scene"), step("filter_color", 0, value="blue"), step("unique", 1), step("relate", 2, value="right"),
            step("exist", 3),
        ],
        {1, 2},
    ),
    # Are there green things? None is visited.
    "none": ([step("scene"), step("filter_color", 0, value="green"), step("exist", 1)], set()),
    # More blue things than cubes? A count of 1 is not object 1.
    "more": (
        [
            step("scene"), step("filter_color", 0, value="blue"), step("count", 1),
            step("scene"), step("filter_shape", 3, value="cube"), step("count", 4), step("greater_than", 2, 5),
        ],
        {0, 1},
    ),
}  # fmt: skip


@pytest.fixture
def clevr(tmp_path):
    """Write a split of one image with the questions of PROGRAMS, as CLEVR is released: no masks, and some functions under `type`."""
    for folder in ("images/test", "questions", "scenes"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (96, 80)).save(tmp_path / "images/test/CLEVR_test_000000.png")
    directions = {"right": [1, 0, 0], "behind": [0, 1, 0], "left": [-1, 0, 0], "front": [0, -1, 0]}
    objects = [thing | {"3d_coords": [k, k, 0.5]} for k, thing in enumerate(OBJECTS)]
    scene = {
        "image_index": 0, "image_filename": "CLEVR_test_000000.png", "objects": objects, "directions": directions,
        "relationships": {"right": RIGHT},
    }  # fmt: skip
    (tmp_path / "scenes/CLEVR_test_scenes.json").write_text(json.dumps({"scenes": [scene]}))
    raw = [
        {("type" if name == "function" else name): v for name, v in one.items()} for one in PROGRAMS["hop"][0]
    ]
    questions = [
        {
            "image_index": 0, "image_filename": "CLEVR_test_000000.png", "question": f"is it {name}", "answer": "yes",
            "program": raw if name == "hop" else program,
        }
        for name, (program, _) in PROGRAMS.items()
    ]  # fmt: skip
    (tmp_path / "questions/CLEVR_test_questions.json").write_text(json.dumps({"questions": questions}))
    return Clevr(tmp_path, test="test")


def test_the_objects_that_a_program_picks_out(clevr):
    annotations = SceneAnnotations(clevr, "test")
    for example, (_, expected) in zip(clevr.examples("test"), PROGRAMS.values(), strict=True):
        assert annotations.visited(example) == expected, example.prompt


def test_each_patch_belongs_to_one_part(clevr):
    annotations = SceneAnnotations(clevr, "test")
    example = clevr.examples("test")[1]  # the cube
    visited, others, background = annotations.regions(example, (5, 6))
    assert (visited.astype(int) + others + background == 1).all()
    mask = annotations.mask(example.images[0])
    assert visited[(20 * 5 // 80) * 6 + 10 * 6 // 96]
    assert others[(60 * 5 // 80) * 6 + 90 * 6 // 96]
    assert background[4 * 6]
    assert annotations.size(example.images[0]) == mask.shape == (80, 96)


def test_the_worlds_masks_agree_with_discs_about_where_objects_are(tmp_path):
    write_world(tmp_path, "test", 3)
    annotations = SceneAnnotations(Clevr(tmp_path, test="test"), "test")
    for example in Clevr(tmp_path, test="test").examples("test"):
        assert annotations.regions(example, (8, 8)).sum() == 64
        mask, objects = annotations.mask(example.images[0]), annotations.objects(example.images[0])
        for k, thing in enumerate(objects):
            row, column = np.nonzero(mask == k)
            x, y, _ = thing["pixel_coords"]
            assert np.hypot(row.mean() - y, column.mean() - x) < 8


def test_bad_input(clevr, tmp_path):
    with pytest.raises(
        ValueError, match=r"benchmark easy_vqa has no scenes and programs .* Take benchmark=world"
    ):
        SceneAnnotations(EasyVqa(tmp_path), "test")
    annotations = SceneAnnotations(clevr, "test")
    example = clevr.examples("test")[0]
    object.__setattr__(example, "id", "test-caption-0")
    with pytest.raises(ValueError, match="test-caption-0 is not a question of test"):
        annotations.visited(example)
