"""Render a scene: an analytic ray caster for spheres, upright cylinders and upright cubes on a gray ground.

Colours are CLEVR's (Johnson et al. 2017, arXiv:1612.06890, `properties.json`). Differs from CLEVR: no path tracing (one
key light with shadows, a fill light, ambient light with contact shadows; metal mirrors its surroundings once), a fixed
camera, a square frame.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bridgelab.world.ray_caster import COS_PITCH, EYE, HALF_FRAME, SIN_PITCH, anti_alias, cast, coverage
from bridgelab.world.scene import SIZES, Object, Scene, sample_scene
from bridgelab.world.solids import bounding_boxes, ground_pattern, key_lights, pack_solids

MOST_LEAST_VISIBLE = 0.003  # the farthest small objects cover little more of the frame than this
CONTRAST = 0.04  # anti-alias neighbours whose square roots of linear colour differ by more than this

_CODES = 4096
_step = (np.arange(_CODES) + 0.5) / _CODES
# sRGB code of a linear value (IEC 61966-2-1) as a table: a power per pixel and channel would cost more than the shading.
_ENCODE = np.round(
    255 * np.where(_step <= 0.0031308, 12.92 * _step, 1.055 * _step ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def render(scene: Scene, size: int = 96) -> np.ndarray:
    """Return the scene as an anti-aliased image, uint8 [size, size, 3] in sRGB. Row 0 is the far side of the ground.

    Raises:
        ValueError: if `size` is not a positive integer, or an attribute is not one of CLEVR's.
    """
    _check_size(size)
    solids = pack_solids(scene.objects, scene.specks)
    boxes, lights, pattern = bounding_boxes(solids, size), key_lights(scene), ground_pattern(scene.ground)
    linear = cast(solids, boxes, lights[len(lights) // 2], pattern, size)
    anti_alias(solids, boxes, lights, pattern, _near_edges(linear), linear)
    return _ENCODE[np.minimum(_CODES - 1, (linear * _CODES).astype(np.int64))]


def object_mask(scene: Scene, size: int = 96) -> np.ndarray:
    """Return int8 [size, size]: the index of the object at each pixel's centre, -1 for the ground or a speck.

    Raises:
        ValueError: as `render`, or if the scene has more objects than int8 can index.
    """
    _check_size(size)
    if len(scene.objects) + len(scene.specks) > 127:
        raise ValueError(
            f"{len(scene.objects)} objects and {len(scene.specks)} specks: a mask is int8 and holds at most 127. "
            "Split the scene."
        )
    solids = pack_solids(scene.objects, scene.specks)
    mask = coverage(solids, bounding_boxes(solids, size), size)[0]
    return np.where(mask < len(scene.objects), mask, np.int8(-1))


def pixel_coords(obj: Object, size: int = 96) -> tuple[int, int, float]:
    """Return column and row of the pixel that holds the object's centre, and the centre's depth along the camera's axis.

    As CLEVR's `pixel_coords`; column and row are counted from the top left.
    """
    _check_size(size)
    x, y, z = (a - b for a, b in zip((obj.x, obj.y, obj.height), EYE, strict=True))
    depth = y * COS_PITCH - z * SIN_PITCH
    u, v = x / depth, (y * SIN_PITCH + z * COS_PITCH) / depth
    column, row = ((w / HALF_FRAME + 1) * size / 2 for w in (u, -v))
    return math.floor(column), math.floor(row), float(depth)


def sample_visible_scene(
    rng: np.random.Generator,
    *,
    objects: tuple[int, int] = (3, 10),
    sizes: Sequence[str] = SIZES,
    colors: Mapping[str, Sequence[str]] | None = None,
    shown: tuple[float, float] = (1 / 3, 1.0),
    image_index: int = 0,
    least_visible: float = 0.0026,
    size: int = 96,
) -> Scene:
    """Draw scenes until each object is well in view at `size` pixels a side.

    Args:
        rng: generator of all that is drawn.
        objects: the least and the most objects.
        sizes: sizes to draw from.
        colors: colours to draw from, by shape; all, for a shape that it leaves out.
        shown: the least and the most that is visible of the most hidden object, as a share of its pixels if it stood alone.
        image_index: index of the scene in its split.
        least_visible: the least share of all pixels that each object covers (CLEVR: 200 of 320 x 240).
        size: pixels a side.

    Raises:
        ValueError: if `size` is not a positive integer, if `least_visible` is more than a small object
            covers, or as `sample_scene`.
    """
    _check_size(size)
    if not 0.0 <= least_visible <= MOST_LEAST_VISIBLE:
        raise ValueError(
            f"least_visible={least_visible}: must lie within 0 and {MOST_LEAST_VISIBLE}, "
            "what the farthest small objects cover. Lower it."
        )
    least = least_visible * size * size
    while True:
        scene = sample_scene(rng, objects=objects, sizes=sizes, colors=colors, image_index=image_index)
        solids = pack_solids(scene.objects)
        _, visible, alone = coverage(solids, bounding_boxes(solids, size), size)
        share = visible / np.maximum(alone, 1)
        if (visible >= least).all() and shown[0] <= share.min() + 1e-12 and share.min() <= shown[1]:
            return scene


def _check_size(size: int) -> None:
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
        raise ValueError(
            f"size={size!r}: must be a positive integer, the pixels along each side of the image."
        )


def _near_edges(linear: np.ndarray) -> np.ndarray:
    """Return bool [size, size]: the pixels near an edge of any cause, an outline or a shadow's rim."""
    root, size = np.sqrt(linear), len(linear)
    near = np.zeros((size, size), bool)
    for channel in range(3):
        near[:-1] |= np.abs(root[1:, :, channel] - root[:-1, :, channel]) > CONTRAST
        near[:, :-1] |= np.abs(root[:, 1:, channel] - root[:, :-1, channel]) > CONTRAST
    reach = 1 + size // 96  # a shadow's soft rim grows with the resolution
    padded = np.pad(near, (reach, reach - 1))
    rows = np.logical_or.reduce([padded[k : k + size] for k in range(2 * reach)])
    return np.logical_or.reduce([rows[:, k : k + size] for k in range(2 * reach)])
