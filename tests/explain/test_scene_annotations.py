import json

import numpy as np
import pytest
from PIL import Image

from bridgelab.benchmark.clevr import Clevr
from bridgelab.benchmark.easy_vqa import EasyVqa
from bridgelab.explain.scene_annotations import Places, covered, discs, shows
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
    # How many red things? Both red ones.
    "red": ([step("scene"), step("filter_color", 0, value="red"), step("count", 1)], {0, 2}),
    # What color is the cube? What `filter_size` leaves is narrowed further, and so no object is visited for being small alone.
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
    # Is anything right of the blue thing? What a relation leaves is visited where no filter narrows it.
    "any": (
        [
            step("scene"), step("filter_color", 0, value="blue"), step("unique", 1), step("relate", 2, value="right"),
            step("exist", 3),
        ],
        {1, 2},
    ),
    # Are there green things? None is visited.
    "none": ([step("scene"), step("filter_color", 0, value="green"), step("exist", 1)], set()),
    # More red things than cubes? A number of 1 is no object.
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
    """A split of one image with the questions of PROGRAMS, as CLEVR is released: no masks, functions under `type` too."""
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
    asked = [
        {
            "image_index": 0, "image_filename": "CLEVR_test_000000.png", "question": f"is it {name}", "answer": "yes",
            "program": raw if name == "hop" else program,
        }
        for name, (program, _) in PROGRAMS.items()
    ]  # fmt: skip
    (tmp_path / "questions/CLEVR_test_questions.json").write_text(json.dumps({"questions": asked}))
    return Clevr(tmp_path, test="test")


def test_the_objects_that_a_program_picks_out(clevr):
    places = Places(clevr, "test")
    for example, (_, expected) in zip(clevr.examples("test"), PROGRAMS.values(), strict=True):
        assert places.visited(example) == expected, example.prompt


def test_each_patch_belongs_to_one_part(clevr):
    places = Places(clevr, "test")
    example = clevr.examples("test")[1]  # the cube
    visited, others, background = places.parts(example, (5, 6))
    assert (visited.astype(int) + others + background == 1).all()
    cover = places.cover(example.images[0])
    assert visited[(20 * 5 // 80) * 6 + 10 * 6 // 96]
    assert others[(60 * 5 // 80) * 6 + 90 * 6 // 96]
    assert background[4 * 6]
    assert places.size(example.images[0]) == cover.shape == (80, 96)


def test_shares_of_patches_by_counting_pixels():
    rng = np.random.default_rng(0)
    cover = rng.integers(-1, 3, (50, 35))  # no multiple of the grid
    found = covered(cover, 4, (4, 3))
    for row in range(4):
        for column in range(3):
            own = [
                cover[y, x]
                for y in range(50)
                for x in range(35)
                if y * 4 // 50 == row and x * 3 // 35 == column
            ]
            for k in range(4):  # the last is hidden
                assert found[k, row * 3 + column] == pytest.approx(np.mean(np.array(own) == k))


def test_a_tiny_object_is_shown_by_the_patch_that_has_most_of_it():
    cover = np.full((20, 20), -1)
    cover[9:11, 9] = 0  # two pixels, a patch each, 1 % of a patch
    assert shows(cover, 2, (2, 2))[0].sum() == 2
    cover[8, 9] = 0
    assert shows(cover, 2, (2, 2)).tolist() == [[True, False, False, False], [False] * 4]


def test_a_disc_has_its_size_and_nearer_ones_hide_farther_ones():
    far = {"size": "large", "pixel_coords": [240.0, 160.0, 10.5]}
    found = discs([far], 320, 480)
    radius = 525 * 0.7 / 10.5  # CLEVR's camera: 525 pixels at depth 1 in an image 480 wide
    assert (found == 0).sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    near = {"size": "small", "pixel_coords": [240.0, 160.0, 8.0]}
    assert discs([near, far], 320, 480)[160, 240] == 0


def test_the_worlds_masks_agree_with_discs_about_where_objects_are(tmp_path):
    write_world(tmp_path, "test", 3)
    places = Places(Clevr(tmp_path, test="test"), "test")
    for example in Clevr(tmp_path, test="test").examples("test"):
        assert places.parts(example, (8, 8)).sum() == 64
        cover, objects = places.cover(example.images[0]), places.objects(example.images[0])
        for k, thing in enumerate(objects):
            row, column = np.nonzero(cover == k)
            x, y, _ = thing["pixel_coords"]
            assert np.hypot(row.mean() - y, column.mean() - x) < 8


def test_bad_input(clevr, tmp_path):
    with pytest.raises(
        ValueError, match=r"benchmark easy_vqa has no scenes and programs .* Take benchmark=world"
    ):
        Places(EasyVqa(tmp_path), "test")
    places = Places(clevr, "test")
    example = clevr.examples("test")[0]
    object.__setattr__(example, "id", "test-caption-0")
    with pytest.raises(ValueError, match="test-caption-0 is no question of test"):
        places.visited(example)
