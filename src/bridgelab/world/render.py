"""Draw a scene: an analytic ray caster for spheres, upright cylinders and upright cubes on a gray ground.

Colours are CLEVR's (Johnson et al. 2017, arXiv:1612.06890, `properties.json`). Differs from CLEVR: no path
tracing (one key light with shadows, a fill light, ambient light with contact shadows; metal mirrors its
surroundings once), a fixed camera, a square frame. Everything is float64 on one thread in a fixed order, so
the same scene gives the same bytes in every process.
"""

import math

import numpy as np
from numba import njit

from bridgelab.world.scene import COLORS, MATERIALS, SHAPES, SIZES, Object, Scene, sample_scene

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

# The camera: looks from DISTANCE at AIM on the ground, PITCH degrees down; the frame's edges lie HALF_FRAME to
# each side of the axis at distance 1. Chosen so that large objects in all corners of the square are in the frame.
PITCH = 42.0
DISTANCE = 16.0
AIM = (0.0, 0.1, 0.0)
HALF_FRAME = 0.296
_COS, _SIN = math.cos(math.radians(PITCH)), math.sin(math.radians(PITCH))
_EYE = (AIM[0], AIM[1] - DISTANCE * _COS, AIM[2] + DISTANCE * _SIN)

KEY_AZIMUTH = 40.0  # where the key light stands at `scene.light` 0: degrees to the left, from straight behind the camera
KEY_ELEVATION = 52.0
KEY_SOFTNESS = 0.035  # radius of the key light's disc at distance 1
GRID = 3  # samples along each side of a pixel that needs them
CONTRAST = 0.04  # difference between neighbours (of square roots of linear colour) from which both need them

_BOX, _BALL, _TUBE = 0, 1, 2
_KIND = {"cube": _BOX, "sphere": _BALL, "cylinder": _TUBE}
# Columns of a packed object: kind, centre, half extent across and up, cosine and sine of the rotation, squared
# radius of the sphere around it, linear colour, 1.0 if metal.
_KND, _X, _Y, _Z, _R, _H, _C, _S, _BOUND, _RED, _METAL, _WIDTH = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13


def render(scene: Scene, size: int = 96) -> np.ndarray:
    """The scene as an anti-aliased uint8[size, size, 3] image (sRGB); row 0 is the far side of the ground.

    Raises:
        ValueError: if `size` is not a positive integer, or an attribute is not one of CLEVR's.
    """
    _check_size(size)
    solids = _pack(scene.objects)
    return _render(solids, _boxes(solids, size), _key_lights(scene.light), size)


def object_mask(scene: Scene, size: int = 96) -> np.ndarray:
    """int8[size, size]: index of the object seen at each pixel's centre, -1 where it is the ground.

    Raises:
        ValueError: as `render`, or if the scene has more objects than int8 can index.
    """
    _check_size(size)
    if len(scene.objects) > 127:
        raise ValueError(f"{len(scene.objects)} objects: a mask is int8 and holds at most 127. Split the scene.")
    solids = _pack(scene.objects)
    return _cover(solids, _boxes(solids, size), size)[0]


def pixel_coords(obj: Object, size: int = 96) -> tuple[int, int, float]:
    """Column and row of the pixel that the object's centre falls in, and its depth along the camera's axis.

    As CLEVR's `pixel_coords`; both are counted from the top left.
    """
    _check_size(size)
    u, v, depth = _project(np.array([obj.x, obj.y, obj.height]))
    return math.floor(_to_pixels(u, size)), math.floor(_to_pixels(-v, size)), float(depth)


def sample_visible_scene(
    rng: np.random.Generator,
    *,
    objects: tuple[int, int] = (3, 10),
    image_index: int = 0,
    least_visible: float = 0.0026,
    size: int = 96,
) -> Scene:
    """Draw scenes until each object is well in view, judged by `object_mask` at `size`.

    Each covers at least `least_visible` of all pixels (CLEVR: 200 of 320 x 240) and at least a third of the
    pixels it would cover if it stood alone.

    Raises:
        ValueError: if `least_visible` is more than a small object covers, or as `sample_scene`.
    """
    _check_size(size)
    if not 0.0 <= least_visible <= MOST_LEAST_VISIBLE:
        raise ValueError(
            f"least_visible={least_visible}: must lie within 0 and {MOST_LEAST_VISIBLE}, "
            "as the farthest small objects cover little more than that. Lower it."
        )
    least = least_visible * size * size
    while True:
        scene = sample_scene(rng, objects=objects, image_index=image_index)
        solids = _pack(scene.objects)
        _, seen, alone = _cover(solids, _boxes(solids, size), size)
        if (seen >= least).all() and (3 * seen >= alone).all():
            return scene


MOST_LEAST_VISIBLE = 0.003


def _check_size(size: int) -> None:
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size={size!r}: must be a positive integer, the pixels along each side of the image.")


def _linear(value: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR = {name: _linear(np.array(rgb) / 255) for name, rgb in RGB.items()}
_CODES = 4096
_light = (np.arange(_CODES) + 0.5) / _CODES
# sRGB code of a linear value: a table, as a power per pixel and channel would cost more than the ground's shading.
_ENCODE = np.round(
    255 * np.where(_light <= 0.0031308, 12.92 * _light, 1.055 * _light ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def _pack(objects: tuple[Object, ...]) -> np.ndarray:
    """float64[objects, _WIDTH], what the compiled code reads."""
    solids = np.zeros((len(objects), _WIDTH))
    for row, obj in zip(solids, objects, strict=True):
        for attribute, known in (("shape", SHAPES), ("size", SIZES), ("material", MATERIALS), ("color", COLORS)):
            if getattr(obj, attribute) not in known:
                raise ValueError(f"{attribute}={getattr(obj, attribute)!r}: must be one of {known}.")
        half = obj.height  # of a cube half its edge, of the others their radius
        angle = math.radians(obj.rotation)
        bound = {_BOX: 3.0, _BALL: 1.0, _TUBE: 2.0}[_KIND[obj.shape]] * half * half
        row[:_RED] = _KIND[obj.shape], obj.x, obj.y, obj.height, half, half, math.cos(angle), math.sin(angle), bound
        row[_RED:_METAL] = _LINEAR[obj.color]
        row[_METAL] = float(obj.material == "metal")
    return solids


def _project(points: np.ndarray) -> np.ndarray:
    """[..., 3] in the world to (right, up) at distance 1 from the eye, and depth along the axis."""
    p = points - np.array(_EYE)
    depth = p[..., 1] * _COS - p[..., 2] * _SIN
    return np.stack([p[..., 0] / depth, (p[..., 1] * _SIN + p[..., 2] * _COS) / depth, depth], axis=-1)


def _to_pixels(u: float | np.ndarray, size: int) -> float | np.ndarray:
    return (u / HALF_FRAME + 1) * size / 2


def _boxes(solids: np.ndarray, size: int) -> np.ndarray:
    """int64[objects, 4]: columns [left, right) and rows [top, bottom) outside which an object can't be seen."""
    return _screen_boxes(solids, size)


def _key_lights(light: float) -> np.ndarray:
    """float64[GRID², 3]: directions to the key light's disc, one for each sample in a pixel; the middle one its centre."""
    azimuth, elevation = math.radians(KEY_AZIMUTH + light), math.radians(KEY_ELEVATION)
    centre = np.array(
        [-math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    across = np.array([-math.cos(azimuth), math.sin(azimuth), 0.0])
    up = np.cross(centre, across)
    n = GRID * GRID
    lights = np.empty((n, 3))
    for k in range(n):
        # A sunflower's spread over the disc; 4 steps of 9 apart, so that samples beside each other see different spots.
        turn = ((k - n // 2) * 4) % n
        radius, angle = KEY_SOFTNESS * math.sqrt(turn / (n - 1)), turn * math.pi * (3 - math.sqrt(5))
        lights[k] = centre + radius * (math.cos(angle) * across + math.sin(angle) * up)
        lights[k] /= np.linalg.norm(lights[k])
    return lights


@njit(cache=True, nogil=True)
def _screen_boxes(solids, size):
    boxes = np.empty((len(solids), 4), np.int64)
    for i in range(len(solids)):
        s = solids[i]
        x, y, z = s[_X] - _EYE[0], s[_Y] - _EYE[1], s[_Z] - _EYE[2]
        left, right, low, high = np.inf, -np.inf, np.inf, -np.inf
        if s[_KND] == _BALL:
            depth, up, rr = y * _COS - z * _SIN, y * _SIN + z * _COS, s[_R] * s[_R]
            across = s[_R] * math.sqrt(x * x + depth * depth - rr)  # the tangents from the eye to the ball
            left, right = (x * depth - across) / (depth * depth - rr), (x * depth + across) / (depth * depth - rr)
            along = s[_R] * math.sqrt(up * up + depth * depth - rr)
            low, high = (up * depth - along) / (depth * depth - rr), (up * depth + along) / (depth * depth - rr)
        else:
            c, n = (s[_C], s[_S]) if s[_KND] == _BOX else (1.0, 0.0)
            for a in (-s[_R], s[_R]):
                for b in (-s[_R], s[_R]):
                    for h in (-s[_H], s[_H]):
                        px, py, pz = x + a * c - b * n, y + a * n + b * c, z + h
                        depth = py * _COS - pz * _SIN
                        u, v = px / depth, (py * _SIN + pz * _COS) / depth
                        left, right, low, high = min(left, u), max(right, u), min(low, v), max(high, v)
        half = size / 2
        boxes[i, 0] = max(0, math.floor((left / HALF_FRAME + 1) * half))
        boxes[i, 1] = min(size, math.ceil((right / HALF_FRAME + 1) * half) + 1)
        boxes[i, 2] = max(0, math.floor((1 - high / HALF_FRAME) * half))
        boxes[i, 3] = min(size, math.ceil((1 - low / HALF_FRAME) * half) + 1)
    return boxes


@njit(cache=True, nogil=True)
def _ray(column, row, size):
    """Unit direction from the eye through a point of the image, counted in pixels from the top left."""
    u = (2 * column / size - 1) * HALF_FRAME
    v = (1 - 2 * row / size) * HALF_FRAME
    length = math.sqrt(u * u + v * v + 1)
    return u / length, (_COS + v * _SIN) / length, (v * _COS - _SIN) / length


@njit(cache=True, nogil=True)
def _hit(s, ox, oy, oz, dx, dy, dz):
    """Distance along a unit ray to the object's surface, inf if it misses; the ray begins outside of the object."""
    x, y, z = ox - s[_X], oy - s[_Y], oz - s[_Z]
    b = x * dx + y * dy + z * dz
    c = x * x + y * y + z * z - s[_BOUND]
    if b >= 0.0 and c >= 0.0:
        return np.inf
    disc = b * b - c
    if disc < 0.0:
        return np.inf
    if s[_KND] == _BALL:
        t = -b - math.sqrt(disc)
        return t if t > 0.0 else np.inf
    if s[_KND] == _BOX:
        lx, ly = s[_C] * x + s[_S] * y, s[_C] * y - s[_S] * x
        ex, ey = s[_C] * dx + s[_S] * dy, s[_C] * dy - s[_S] * dx
        near, far = 0.0, np.inf
        for o, d, h in ((lx, ex, s[_R]), (ly, ey, s[_R]), (z, dz, s[_H])):
            if abs(d) < 1e-12:
                if abs(o) > h:
                    return np.inf
            else:
                a, e = (-h - o) / d, (h - o) / d
                if a > e:
                    a, e = e, a
                near, far = max(near, a), min(far, e)
        return near if near <= far and near > 0.0 else np.inf
    # Tube: the round side first, then the cap that faces the ray.
    best = np.inf
    a = dx * dx + dy * dy
    if a > 1e-12:
        b = x * dx + y * dy
        disc = b * b - a * (x * x + y * y - s[_R] * s[_R])
        if disc < 0.0:
            return np.inf
        t = (-b - math.sqrt(disc)) / a
        if t > 0.0 and abs(z + t * dz) <= s[_H]:
            best = t
    if abs(dz) > 1e-12:
        t = ((s[_H] if dz < 0.0 else -s[_H]) - z) / dz
        if 0.0 < t < best:
            px, py = x + t * dx, y + t * dy
            if px * px + py * py <= s[_R] * s[_R]:
                best = t
    return best


@njit(cache=True, nogil=True)
def _normal(s, px, py, pz):
    """Outward unit normal at a point of the object's surface."""
    x, y, z = px - s[_X], py - s[_Y], pz - s[_Z]
    if s[_KND] == _BALL:
        return x / s[_R], y / s[_R], z / s[_R]
    if s[_KND] == _BOX:
        lx, ly = s[_C] * x + s[_S] * y, s[_C] * y - s[_S] * x
        if abs(z) >= abs(lx) and abs(z) >= abs(ly):
            return 0.0, 0.0, math.copysign(1.0, z)
        if abs(lx) >= abs(ly):
            side = math.copysign(1.0, lx)
            return side * s[_C], side * s[_S], 0.0
        side = math.copysign(1.0, ly)
        return -side * s[_S], side * s[_C], 0.0
    rho = math.sqrt(x * x + y * y)
    if abs(z) * s[_R] >= rho * s[_H]:
        return 0.0, 0.0, math.copysign(1.0, z)
    return x / rho, y / rho, 0.0


@njit(cache=True, nogil=True)
def _nearest(solids, skip, ox, oy, oz, dx, dy, dz):
    """Index of the first object on the ray (-1: none) and the distance to it; `skip` is where the ray starts."""
    best, which = np.inf, -1
    for i in range(len(solids)):
        if i != skip:
            t = _hit(solids[i], ox, oy, oz, dx, dy, dz)
            if t < best:
                best, which = t, i
    return which, best


@njit(cache=True, nogil=True)
def _shadowed(solids, skip, px, py, pz, lx, ly, lz):
    for i in range(len(solids)):
        if i != skip and _hit(solids[i], px, py, pz, lx, ly, lz) < np.inf:
            return True
    return False


@njit(cache=True, nogil=True)
def _open(solids, skip, px, py, pz, nx, ny, nz):
    """Share of the ambient light that the other objects leave over, each taken as a ball of its size."""
    left = 1.0
    for i in range(len(solids)):
        s = solids[i]
        x, y, z = s[_X] - px, s[_Y] - py, s[_Z] - pz
        dd = x * x + y * y + z * z
        if i != skip and dd < 16.0 * s[_R] * s[_R]:
            facing = x * nx + y * ny + z * nz
            if facing > 0.0:
                left *= 1.0 - 0.75 * min(1.0, s[_R] * s[_R] * facing / (dd * math.sqrt(dd)))
    return left


@njit(cache=True, nogil=True)
def _falloff(x, y):
    """The lights hang over the middle: what lies farther out gets less of them."""
    return 1.0 / (1.0 + 0.016 * (x * x + (y + 0.5) * (y + 0.5)))


@njit(cache=True, nogil=True)
def _light_on(solids, skip, px, py, pz, nx, ny, nz, lx, ly, lz):
    """Light that arrives at a surface (1: a colour shows as published)."""
    total = 0.0
    facing = nx * lx + ny * ly + nz * lz
    if facing > 0.0 and not _shadowed(solids, skip, px, py, pz, lx, ly, lz):
        total += 0.95 * facing
    total += 0.30 * max(0.0, 0.66 * nx - 0.62 * ny + 0.42 * nz)  # fill, from the front right, casts no shadow
    total += 0.36 * (0.62 + 0.38 * nz) * _open(solids, skip, px, py, pz, nx, ny, nz)
    return total * _falloff(px, py)


_GROUND = 0.40


@njit(cache=True, nogil=True)
def _sky(dx, dy, dz):
    """What metal mirrors above the ground: a dim horizon, a light ceiling, and a bright panel behind the scene."""
    panel = max(0.0, 1.0 - ((dx / 0.42) ** 2 + ((dz - 0.72) / 0.16) ** 2)) if dy > 0.0 else 0.0
    return 0.22 + 0.75 * dz * dz + 1.3 * panel * panel


@njit(cache=True, nogil=True)
def _shade(solids, which, px, py, pz, dx, dy, dz, lx, ly, lz):
    """Linear colour of object `which` (-1: the ground) at a point of its surface, seen along the unit ray d."""
    if which < 0:
        g = _GROUND * _light_on(solids, -1, px, py, 0.0, 0.0, 0.0, 1.0, lx, ly, lz)
        return g, g, g
    s = solids[which]
    nx, ny, nz = _normal(s, px, py, pz)
    light = _light_on(solids, which, px, py, pz, nx, ny, nz, lx, ly, lz)
    red, green, blue = s[_RED], s[_RED + 1], s[_RED + 2]
    if s[_METAL] == 0.0:
        return red * light, green * light, blue * light
    along = dx * nx + dy * ny + dz * nz
    rx, ry, rz = dx - 2 * along * nx, dy - 2 * along * ny, dz - 2 * along * nz
    seen, t = _nearest(solids, which, px, py, pz, rx, ry, rz)
    if rz < 0.0 and -pz / rz < t:
        seen, t = -2, -pz / rz
    if seen == -1:
        g = _sky(rx, ry, rz)
        mr, mg, mb = g, g, g
    else:
        qx, qy, qz = px + t * rx, py + t * ry, pz + t * rz
        if seen == -2:
            g = 0.9 * _GROUND * _light_on(solids, -1, qx, qy, 0.0, 0.0, 0.0, 1.0, lx, ly, lz)
            mr, mg, mb = g, g, g
        else:
            o = solids[seen]
            mx, my, mz = _normal(o, qx, qy, qz)
            g = _light_on(solids, seen, qx, qy, qz, mx, my, mz, lx, ly, lz)
            mr, mg, mb = g * o[_RED], g * o[_RED + 1], g * o[_RED + 2]
    gleam = max(0.0, rx * lx + ry * ly + rz * lz)
    gleam = gleam * gleam
    gleam = gleam * gleam  # to the 4th
    gleam = gleam * gleam * gleam * gleam  # to the 16th
    gleam = 0.55 * gleam + 1.2 * gleam * gleam * gleam * gleam
    if _shadowed(solids, which, px, py, pz, lx, ly, lz):
        gleam = 0.0
    # Metal tints what it mirrors; a part of its own colour stays, so that it can be named against any surroundings.
    body, white = 0.35 * light, 0.06
    return (
        red * (body + 1.15 * mr) + white * mr + gleam * (0.35 + 0.65 * red),
        green * (body + 1.15 * mg) + white * mg + gleam * (0.35 + 0.65 * green),
        blue * (body + 1.15 * mb) + white * mb + gleam * (0.35 + 0.65 * blue),
    )


@njit(cache=True, nogil=True)
def _cover(solids, boxes, size):
    """Mask at the pixels' centres; pixels each object is seen at; pixels it would be seen at alone."""
    mask = np.full((size, size), -1, np.int8)
    depth = np.full((size, size), np.inf)
    alone = np.zeros(len(solids), np.int64)
    for i in range(len(solids)):
        for row in range(boxes[i, 2], boxes[i, 3]):
            for column in range(boxes[i, 0], boxes[i, 1]):
                dx, dy, dz = _ray(column + 0.5, row + 0.5, size)
                t = _hit(solids[i], _EYE[0], _EYE[1], _EYE[2], dx, dy, dz)
                if t < np.inf:
                    alone[i] += 1
                    if t < depth[row, column]:
                        depth[row, column] = t
                        mask[row, column] = i
    seen = np.zeros(len(solids), np.int64)
    for row in range(size):
        for column in range(size):
            if mask[row, column] >= 0:
                seen[mask[row, column]] += 1
    return mask, seen, alone


@njit(cache=True, nogil=True)
def _sample(solids, boxes, column, row, size, light):
    """Linear colour, clipped to 0..1, at a point of the image."""
    dx, dy, dz = _ray(column, row, size)
    best, which = np.inf, -1
    for i in range(len(solids)):
        if boxes[i, 0] <= column <= boxes[i, 1] and boxes[i, 2] <= row <= boxes[i, 3]:
            t = _hit(solids[i], _EYE[0], _EYE[1], _EYE[2], dx, dy, dz)
            if t < best:
                best, which = t, i
    if which < 0:
        best = -_EYE[2] / dz  # the camera looks down: every ray meets the ground
    r, g, b = _shade(
        solids, which, _EYE[0] + best * dx, _EYE[1] + best * dy, _EYE[2] + best * dz, dx, dy, dz,
        light[0], light[1], light[2],
    )  # fmt: skip
    return min(r, 1.0), min(g, 1.0), min(b, 1.0)


@njit(cache=True, nogil=True)
def _render(solids, boxes, lights, size):
    middle = (GRID * GRID) // 2
    linear = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            r, g, b = _sample(solids, boxes, column + 0.5, row + 0.5, size, lights[middle])
            linear[row, column, 0], linear[row, column, 1], linear[row, column, 2] = r, g, b
    # Pixels near an edge, of whatever cause, get GRID² samples; a shadow's soft rim grows with the resolution.
    reach = 1 + size // 96
    rough = np.zeros((size, size), np.bool_)
    root = np.sqrt(linear)
    for row in range(size):
        for column in range(size):
            edge = False
            for c in range(3):
                here = root[row, column, c]
                if row + 1 < size and abs(root[row + 1, column, c] - here) > CONTRAST:
                    edge = True
                if column + 1 < size and abs(root[row, column + 1, c] - here) > CONTRAST:
                    edge = True
            if edge:
                for y in range(max(0, row - reach + 1), min(size, row + reach + 1)):
                    for x in range(max(0, column - reach + 1), min(size, column + reach + 1)):
                        rough[y, x] = True
    image = np.empty((size, size, 3), np.uint8)
    for row in range(size):
        for column in range(size):
            r, g, b = linear[row, column, 0], linear[row, column, 1], linear[row, column, 2]
            if rough[row, column]:
                r, g, b = 0.0, 0.0, 0.0
                for k in range(GRID * GRID):
                    x, y = column + (k % GRID + 0.5) / GRID, row + (k // GRID + 0.5) / GRID
                    sr, sg, sb = _sample(solids, boxes, x, y, size, lights[k])
                    r, g, b = r + sr, g + sg, b + sb
                r, g, b = r / (GRID * GRID), g / (GRID * GRID), b / (GRID * GRID)
            image[row, column, 0] = _ENCODE[min(_CODES - 1, int(r * _CODES))]
            image[row, column, 1] = _ENCODE[min(_CODES - 1, int(g * _CODES))]
            image[row, column, 2] = _ENCODE[min(_CODES - 1, int(b * _CODES))]
    return image
