"""The renderer against rays marched through the solids' definitions, then what a viewer relies on."""

import hashlib
import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from bridgelab.world.ray_caster import AIM, DISTANCE, HALF_FRAME, PITCH
from bridgelab.world.render import object_mask, pixel_coords, render, sample_visible_scene
from bridgelab.world.scene import COLORS, MATERIALS, SHAPES, SIZES, Object, Scene, sample_scene
from bridgelab.world.solids import KEY_AZIMUTH, RGB


def scene(seed: int, objects: tuple[int, int] = (3, 10)) -> Scene:
    return sample_scene(np.random.default_rng(seed), objects=objects)


PLACES = ((-2.0, -2.0), (1.0, 2.5), (2.5, 0.0))
LIGHTS = (-40.0, 0.0, 40.0)


def linear(image: np.ndarray) -> np.ndarray:
    return (image / 255.0) ** 2.2


def chromaticity(rgb: np.ndarray) -> np.ndarray:
    return linear(rgb) / linear(rgb).sum(-1, keepdims=True)


def interior(scene: Scene) -> np.ndarray:
    """[pixels, 3] of a scene's only object, without those at its rim, which mix with the ground."""
    mask = object_mask(scene) == 0
    inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
    return render(scene)[inner]


def camera() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eye, right, up and forward, from where the camera stands and what it looks at."""
    aim, pitch = np.array(AIM), math.radians(PITCH)
    eye = aim + DISTANCE * np.array([0, -math.cos(pitch), math.sin(pitch)])
    forward = (aim - eye) / np.linalg.norm(aim - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    return eye, right, np.cross(right, forward), forward


def inside(obj: Object, points: np.ndarray) -> np.ndarray:
    """Which points [..., 3] lie within the object, by its definition."""
    if obj.shape == "sphere":
        return ((points - [obj.x, obj.y, obj.radius]) ** 2).sum(-1) < obj.radius**2
    x, y, z = np.moveaxis(points - [obj.x, obj.y, 0], -1, 0)
    if obj.shape == "cylinder":
        return (x**2 + y**2 < obj.radius**2) & (z > 0) & (z < 2 * obj.radius)
    edge = math.sqrt(2) * obj.radius
    turned = (x + 1j * y) * np.exp(-1j * math.radians(obj.rotation))
    return (abs(turned.real) < edge / 2) & (abs(turned.imag) < edge / 2) & (z > 0) & (z < edge)


def marched_mask(scene: Scene, size: int, step: float = 0.004) -> np.ndarray:
    """The mask by walking along each pixel's ray until it is inside of an object."""
    eye, right, up, forward = camera()
    mask = np.full((size, size), -1)
    depths = np.arange(9.0, 21.0, step)
    for row, column in product(range(size), range(size)):
        u, v = ((np.array([column, size - 1 - row]) + 0.5) / size * 2 - 1) * HALF_FRAME
        points = eye + depths[:, None] * (forward + u * right + v * up)
        points = points[(points[:, 2] > 0) & (points[:, 2] < 1.5)]
        first = len(points)
        for index, obj in enumerate(scene.objects):
            hits = np.flatnonzero(inside(obj, points))
            if len(hits) and hits[0] < first:
                first, mask[row, column] = hits[0], index
    return mask


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mask_is_that_of_rays_marched_through_the_solids(seed):
    drawn = scene(seed, (6, 9))
    mask = object_mask(drawn, 40)
    assert mask.dtype == np.int8
    np.testing.assert_array_equal(mask, marched_mask(drawn, 40))


@pytest.mark.parametrize("shape", SHAPES)
def test_pixel_coords_are_the_centre_through_a_look_at_camera(shape):
    eye, right, up, forward = camera()
    for size, x, y in product((96, 224), (-3.0, 0.7, 3.0), (-3.0, 0.2, 3.0)):
        obj = Object(shape, "small", "red", "rubber", x, y, 20.0)
        towards = np.array([x, y, obj.height]) - eye
        depth = towards @ forward
        column, row, found = pixel_coords(obj, size)
        assert found == pytest.approx(depth, abs=1e-9)
        assert column == math.floor((towards @ right / depth / HALF_FRAME + 1) * size / 2)
        assert row == math.floor((1 - towards @ up / depth / HALF_FRAME) * size / 2)
        assert object_mask(Scene((obj,)), size)[row, column] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_objects_anywhere_on_the_square_are_wholly_in_the_frame(shape):
    for x, y, rotation in product((-3.0, 0.0, 3.0), (-3.0, 0.0, 3.0), (0.0, 45.0)):
        mask = object_mask(Scene((Object(shape, "large", "red", "rubber", x, y, rotation),)))
        assert (mask == 0).any()
        assert (np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]) == -1).all()


def test_left_is_left_and_front_is_lower():
    for x, y in product((-2.5, 0.0, 2.5), repeat=2):
        here = pixel_coords(Object("sphere", "small", "red", "rubber", x, y))
        moved_left = pixel_coords(Object("sphere", "small", "red", "rubber", x - 0.3, y))
        moved_front = pixel_coords(Object("sphere", "small", "red", "rubber", x, y - 0.3))
        assert moved_left[0] < here[0]
        assert moved_left[1] == here[1]
        assert moved_front[1] > here[1]
        assert moved_front[2] < here[2]


def test_the_nearer_object_hides_the_farther():
    near = Object("cylinder", "large", "red", "rubber", 0.0, -1.0)
    far = Object("sphere", "small", "blue", "metal", 0.0, 0.0)
    for objects in ((near, far), (far, near)):
        mask = object_mask(Scene(objects))
        column, row, _ = pixel_coords(far)
        assert objects[mask[row, column]] == near


@pytest.mark.parametrize("seed", [3, 4])
def test_a_pixel_is_the_mean_of_what_it_covers(seed):
    drawn = scene(seed)
    small = render(drawn, 96)
    assert small.dtype == np.uint8
    assert small.shape == (96, 96, 3)
    light = linear(render(drawn, 96 * 5)).reshape(96, 5, 96, 5, 3)  # averages of light, not of its codes
    mean = 255 * light.mean(axis=(1, 3)) ** (1 / 2.2)
    gap, unfiltered = np.abs(small - mean), np.abs(255 * light[:, 2, :, 2] ** (1 / 2.2) - mean)
    assert gap.mean() < 0.6
    assert np.quantile(gap, 0.999) < 25
    assert gap.mean() < unfiltered.mean() / 2


def test_the_same_scene_gives_the_same_bytes_in_another_process():
    drawn = scene(5)
    digest = hashlib.sha256(render(drawn).tobytes() + object_mask(drawn).tobytes()).hexdigest()
    assert digest == hashlib.sha256(render(drawn).tobytes() + object_mask(drawn).tobytes()).hexdigest()
    code = (
        "import hashlib, numpy as np\n"
        "from bridgelab.world.render import object_mask, render\n"
        "from bridgelab.world.scene import sample_scene\n"
        "drawn = sample_scene(np.random.default_rng(5))\n"
        "print(hashlib.sha256(render(drawn).tobytes() + object_mask(drawn).tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest


def test_the_image_index_is_not_seen_and_the_light_is():
    drawn = scene(6)
    np.testing.assert_array_equal(render(drawn), render(Scene(drawn.objects, drawn.light, 99)))
    other = Scene(drawn.objects, drawn.light + 30)
    assert (render(drawn) != render(other)).any()
    np.testing.assert_array_equal(object_mask(drawn), object_mask(other))


def test_shadows_fall_away_from_the_key_light():
    eye, right, up, forward = camera()
    obj = Object("cylinder", "large", "gray", "rubber", 0.0, 0.0)

    def pixel(x, y):
        towards = np.array([x, y, 0.0]) - eye
        u, v = towards @ right / (towards @ forward), towards @ up / (towards @ forward)
        return int((1 - v / HALF_FRAME) * 48), int((1 + u / HALF_FRAME) * 48)

    for light in (0.0, 20.0, 40.0):  # from the left, so that the cylinder does not hide its own shadow
        drawn = Scene((obj,), light=light)
        azimuth = math.radians(KEY_AZIMUTH + light)
        x, y = math.sin(azimuth), math.cos(azimuth)
        image, mask = render(drawn).astype(int), object_mask(drawn)
        shaded, lit = pixel(x, y), pixel(-x, -y)
        assert mask[shaded] == mask[lit] == -1
        assert image[lit].sum() > 1.2 * image[shaded].sum()


@pytest.mark.parametrize(("shape", "size", "material"), list(product(SHAPES, SIZES, MATERIALS)))
def test_the_colour_of_an_object_is_the_nearest_published_one(shape, size, material):
    published = chromaticity(np.array([RGB[color] for color in COLORS]))
    for color, (x, y), light in product(COLORS, PLACES, LIGHTS):
        pixels = interior(Scene((Object(shape, size, color, material, x, y, 30.0),), light=light))
        distance = ((chromaticity(np.median(pixels, axis=0)) - published) ** 2).sum(-1)
        assert COLORS[distance.argmin()] == color


@pytest.mark.parametrize(("shape", "size"), list(product(SHAPES, SIZES)))
def test_metal_gleams_and_rubber_does_not(shape, size):
    for color, (x, y), light in product(COLORS, PLACES, LIGHTS):
        whitest = {}
        for material in MATERIALS:
            pixels = interior(Scene((Object(shape, size, color, material, x, y, 30.0),), light=light))
            whitest[material] = int(pixels.min(-1).max())
        assert whitest["metal"] > whitest["rubber"] + 30


def test_sampled_scenes_keep_the_promise_of_visibility():
    for seed in range(40):
        drawn = sample_visible_scene(np.random.default_rng(seed), image_index=seed)
        assert drawn.image_index == seed
        assert 3 <= len(drawn.objects) <= 10
        mask = object_mask(drawn)
        for index, obj in enumerate(drawn.objects):
            seen, alone = (mask == index).sum(), (object_mask(Scene((obj,))) == 0).sum()
            assert seen >= 0.0026 * 96 * 96
            assert 3 * seen >= alone


def test_sampling_is_a_function_of_the_generator():
    first, second = (sample_visible_scene(np.random.default_rng(7), objects=(4, 4)) for _ in range(2))
    assert first == second
    assert len(first.objects) == 4


@pytest.mark.parametrize("size", [0, -3, 96.0, True])
def test_a_size_that_is_no_positive_integer_is_refused(size):
    drawn = scene(0)
    calls = (
        lambda: render(drawn, size),
        lambda: object_mask(drawn, size),
        lambda: pixel_coords(drawn.objects[0], size),
        lambda: sample_visible_scene(np.random.default_rng(0), size=size),
    )
    for call in calls:
        with pytest.raises(ValueError, match="must be a positive integer"):
            call()


@pytest.mark.parametrize("attribute", ["shape", "size", "color", "material"])
def test_an_unknown_attribute_is_named(attribute):
    known = {"shape": "cube", "size": "small", "color": "red", "material": "metal"}
    odd = Object(**(known | {attribute: "odd"}), x=0.0, y=0.0)
    with pytest.raises(ValueError, match=f"{attribute}='odd': must be one of"):
        render(Scene((odd,)))


def test_limits_that_no_scene_can_keep_are_refused():
    with pytest.raises(ValueError, match=r"least_visible=0.2: must lie within 0 and"):
        sample_visible_scene(np.random.default_rng(0), least_visible=0.2)
    obj = Object("cube", "small", "red", "metal", 0.0, 0.0)
    with pytest.raises(ValueError, match="128 objects and 0 specks: a mask is int8"):
        object_mask(Scene((obj,) * 128))


def test_an_empty_scene_is_bare_ground():
    assert (object_mask(Scene(())) == -1).all()
    image = render(Scene(()))
    assert (image.min(-1) == image.max(-1)).all()
    assert image.min() > 80
