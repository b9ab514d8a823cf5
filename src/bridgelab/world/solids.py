"""A scene as the arrays that the ray caster reads: solids, their boxes in the image, the key light, the ground's pattern."""

import math
from collections.abc import Sequence

import numpy as np

from bridgelab.world.ray_caster import (
    BALL,
    BOX,
    COS,
    COS_PITCH,
    EYE,
    GRID,
    HALF_FRAME,
    HALF_HEIGHT,
    KIND,
    METAL,
    RADIUS,
    RED,
    SIN,
    SIN_PITCH,
    TUBE,
    WIDTH,
    X,
    Y,
    Z,
)
from bridgelab.world.scene import ATTRIBUTES, Ground, Object, Scene, Speck

RGB = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
SPECK_RGB = {
    "white": (245, 245, 245),
    "black": (16, 16, 16),
    "orange": (255, 140, 20),
    "pink": (255, 120, 190),
}

KEY_AZIMUTH = 55.0  # of the key light at `scene.light` 0: degrees to the left, 0 being behind the camera
KEY_ELEVATION = 52.0
KEY_SOFTNESS = 0.035  # radius of the key light's disc at distance 1

_KINDS = {"cube": BOX, "sphere": BALL, "cylinder": TUBE}
_CORNERS = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1))).reshape(3, 8, 1)


def _linear(rgb: tuple[int, int, int]) -> np.ndarray:
    """Return linear light of an sRGB colour (IEC 61966-2-1)."""
    value = np.array(rgb) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR = {name: _linear(rgb) for name, rgb in (RGB | SPECK_RGB).items()}


def pack_solids(objects: Sequence[Object], specks: Sequence[Speck] = ()) -> np.ndarray:
    """Return objects, then specks, as float64 [solid, WIDTH].

    Raises:
        ValueError: if an object's attribute is not one of CLEVR's.
    """
    solids = np.zeros((len(objects) + len(specks), WIDTH))
    for row, obj in zip(solids, objects, strict=False):
        for attribute, known in ATTRIBUTES.items():
            if getattr(obj, attribute) not in known:
                raise ValueError(f"{attribute}={getattr(obj, attribute)!r}: must be one of {known}.")
        _fill(row, obj, obj.height)
        row[METAL] = float(obj.material == "metal")
    for row, speck in zip(solids[len(objects) :], specks, strict=True):
        _fill(row, speck, speck.radius)
    return solids


def _fill(row: np.ndarray, solid: Object | Speck, half: float) -> None:
    """Write all columns but METAL. `half` is half the edge of a cube, and the radius of the others."""
    kind, angle = _KINDS[solid.shape], math.radians(solid.rotation)
    bound = {BOX: 3.0, BALL: 1.0, TUBE: 2.0}[kind] * half * half
    row[:RADIUS] = kind, solid.x, solid.y, half
    row[RADIUS:RED] = half, half, math.cos(angle), math.sin(angle), bound
    row[RED:METAL] = _LINEAR[solid.color]


def bounding_boxes(solids: np.ndarray, size: int) -> np.ndarray:
    """Return int64 [solid, 4]: columns [left, right) and rows [top, bottom) outside which a solid isn't visible."""
    x, y, z = (solids[:, [X, Y, Z]] - EYE).T
    radius = solids[:, RADIUS]
    # Of a cube or cylinder the corners of its own box, [corner, solid].
    turned = solids[:, KIND] == BOX
    cos, sin = np.where(turned, solids[:, COS], 1.0), np.where(turned, solids[:, SIN], 0.0)
    a, b, h = _CORNERS[0] * radius, _CORNERS[1] * radius, _CORNERS[2] * solids[:, HALF_HEIGHT]
    px, py, pz = x + a * cos - b * sin, y + a * sin + b * cos, z + h
    depth = py * COS_PITCH - pz * SIN_PITCH
    u, v = px / depth, (py * SIN_PITCH + pz * COS_PITCH) / depth
    # Of a ball the tangents from the eye.
    depth, up = y * COS_PITCH - z * SIN_PITCH, y * SIN_PITCH + z * COS_PITCH
    beyond = depth * depth - radius * radius
    across, along = radius * np.sqrt(x * x + beyond), radius * np.sqrt(up * up + beyond)
    ball = solids[:, KIND] == BALL
    left = np.where(ball, (x * depth - across) / beyond, u.min(0))
    right = np.where(ball, (x * depth + across) / beyond, u.max(0))
    low = np.where(ball, (up * depth - along) / beyond, v.min(0))
    high = np.where(ball, (up * depth + along) / beyond, v.max(0))
    half = size / 2
    boxes = np.empty((len(solids), 4), np.int64)
    boxes[:, 0] = np.maximum(0, np.floor((left / HALF_FRAME + 1) * half))
    boxes[:, 1] = np.minimum(size, np.ceil((right / HALF_FRAME + 1) * half) + 1)
    boxes[:, 2] = np.maximum(0, np.floor((1 - high / HALF_FRAME) * half))
    boxes[:, 3] = np.minimum(size, np.ceil((1 - low / HALF_FRAME) * half) + 1)
    return boxes


def ground_pattern(ground: Ground | None) -> np.ndarray:
    """Return float64 [7]: contrast, then both waves. All are zero without a pattern."""
    if ground is None:
        return np.zeros(7)
    return np.array([ground.contrast, *ground.waves[0], *ground.waves[1]])


def key_lights(scene: Scene) -> np.ndarray:
    """Return float64 [GRID², 3]: directions to the key light's disc, one per sample. The middle one is to its centre."""
    azimuth, elevation = math.radians(KEY_AZIMUTH + scene.light), math.radians(KEY_ELEVATION)
    flat = math.cos(elevation)
    centre = np.array([-math.sin(azimuth) * flat, -math.cos(azimuth) * flat, math.sin(elevation)])
    across = np.array([-math.cos(azimuth), math.sin(azimuth), 0.0])
    up = np.cross(centre, across)
    n = GRID * GRID
    lights = np.empty((n, 3))
    for k in range(n):
        # A sunflower's spread over the disc, 4 of 9 steps on each time, so that neighbours differ.
        turn = ((k - n // 2) * 4) % n
        radius, angle = KEY_SOFTNESS * math.sqrt(turn / (n - 1)), turn * math.pi * (3 - math.sqrt(5))
        lights[k] = centre + radius * (math.cos(angle) * across + math.sin(angle) * up)
        lights[k] /= np.linalg.norm(lights[k])
    return lights
