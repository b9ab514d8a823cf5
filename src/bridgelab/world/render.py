"""Draw a scene: an analytic ray caster for spheres, upright cylinders and upright cubes on a gray ground.

Colours are CLEVR's (Johnson et al. 2017, arXiv:1612.06890, `properties.json`). Differs from CLEVR: no path
tracing (one key light with shadows, a fill light, ambient light with contact shadows; metal mirrors its
surroundings once), a fixed camera, a square frame. Everything is float64 on one thread in a fixed order, so
the same scene gives the same bytes in every process.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit

from bridgelab.world.scene import ATTRIBUTES, SIZES, Ground, Object, Scene, Speck, sample_scene

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

# The camera: looks from DISTANCE at AIM on the ground, PITCH degrees down; the frame's edges lie HALF_FRAME
# to each side of the axis at distance 1, so that large objects in all corners of the square are in the frame.
PITCH = 42.0
DISTANCE = 16.0
AIM = (0.0, 0.1, 0.0)
HALF_FRAME = 0.296
MOST_LEAST_VISIBLE = 0.003  # the farthest small objects cover little more of the frame than this
_COS, _SIN = math.cos(math.radians(PITCH)), math.sin(math.radians(PITCH))
_EYE = (AIM[0], AIM[1] - DISTANCE * _COS, AIM[2] + DISTANCE * _SIN)

KEY_AZIMUTH = 55.0  # of the key light at `scene.light` 0: degrees to the left, 0 being behind the camera
KEY_ELEVATION = 52.0
KEY_SOFTNESS = 0.035  # radius of the key light's disc at distance 1
GRID = 3  # samples along each side of a pixel that needs them
CONTRAST = 0.04  # difference between neighbours (of square roots of linear colour) from which both need them

# Single-threaded and without fast-math: the order of the sums, and so the bytes, are fixed.
_compiled = njit(cache=True, nogil=True, error_model="numpy")

_BOX, _BALL, _TUBE = 0, 1, 2
_KIND = {"cube": _BOX, "sphere": _BALL, "cylinder": _TUBE}
# Columns of a packed object: kind, centre, half extent across and up, cosine and sine of the rotation,
# squared radius of the sphere around it, linear colour, 1.0 if metal.
_KND, _X, _Y, _Z, _R, _H, _C, _S, _BOUND, _RED, _METAL, _WIDTH = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13


def render(scene: Scene, size: int = 96) -> np.ndarray:
    """The scene as an anti-aliased uint8[size, size, 3] image (sRGB); row 0 is the far side of the ground.

    Raises:
        ValueError: if `size` is not a positive integer, or an attribute is not one of CLEVR's.
    """
    _check_size(size)
    solids = _pack(scene.objects, scene.specks)
    return _render(solids, _boxes(solids, size), _key_lights(scene.light), _pattern(scene.ground), size)


def object_mask(scene: Scene, size: int = 96) -> np.ndarray:
    """int8[size, size]: index of the object seen at each pixel's centre, -1 where it is the ground or a speck.

    Raises:
        ValueError: as `render`, or if the scene has more objects than int8 can index.
    """
    _check_size(size)
    if len(scene.objects) + len(scene.specks) > 127:
        raise ValueError(
            f"{len(scene.objects)} objects and {len(scene.specks)} specks: a mask is int8 and holds at most 127. "
            "Split the scene."
        )
    solids = _pack(scene.objects, scene.specks)
    mask = _cover(solids, _boxes(solids, size), size)[0]
    return np.where(mask < len(scene.objects), mask, np.int8(-1))


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
    sizes: Sequence[str] = SIZES,
    colors: Mapping[str, Sequence[str]] | None = None,
    shown: tuple[float, float] = (1 / 3, 1.0),
    image_index: int = 0,
    least_visible: float = 0.0026,
    size: int = 96,
) -> Scene:
    """Draw scenes until each object is well in view, judged by `object_mask` at `size`.

    Each covers at least `least_visible` of all pixels (CLEVR: 200 of 320 x 240); and of the pixels that it would cover
    if it stood alone, the most hidden one has a share within `shown`.

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
        solids = _pack(scene.objects)
        _, seen, alone = _cover(solids, _boxes(solids, size), size)
        share = seen / np.maximum(alone, 1)
        if (seen >= least).all() and shown[0] <= share.min() + 1e-12 and share.min() <= shown[1]:
            return scene


def _check_size(size: int) -> None:
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
        raise ValueError(
            f"size={size!r}: must be a positive integer, the pixels along each side of the image."
        )


def _linear(value: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR = {name: _linear(np.array(rgb) / 255) for name, rgb in RGB.items()}
SPECKS = {"white": (245, 245, 245), "black": (16, 16, 16), "orange": (255, 140, 20), "pink": (255, 120, 190)}
_LINEAR_SPECKS = {name: _linear(np.array(rgb) / 255) for name, rgb in SPECKS.items()}
_CODES = 4096
_step = (np.arange(_CODES) + 0.5) / _CODES
# sRGB code of a linear value: a table, as a power per pixel and channel would cost more than the shading.
_ENCODE = np.round(
    255 * np.where(_step <= 0.0031308, 12.92 * _step, 1.055 * _step ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def _pack(objects: Sequence[Object], specks: Sequence[Speck] = ()) -> np.ndarray:
    """float64[objects + specks, _WIDTH], what the compiled code reads."""
    solids = np.zeros((len(objects) + len(specks), _WIDTH))
    for row, obj in zip(solids, objects, strict=False):
        for attribute, known in ATTRIBUTES.items():
            if getattr(obj, attribute) not in known:
                raise ValueError(f"{attribute}={getattr(obj, attribute)!r}: must be one of {known}.")
        # Of a cube half its edge, of the others their radius.
        _place(row, obj.shape, obj.x, obj.y, obj.height, obj.rotation, _LINEAR[obj.color])
        row[_METAL] = float(obj.material == "metal")
    for row, speck in zip(solids[len(objects) :], specks, strict=True):
        _place(row, speck.shape, speck.x, speck.y, speck.radius, speck.rotation, _LINEAR_SPECKS[speck.color])
    return solids


def _place(
    row: np.ndarray, shape: str, x: float, y: float, half: float, rotation: float, color: np.ndarray
) -> None:
    angle = math.radians(rotation)
    bound = {_BOX: 3.0, _BALL: 1.0, _TUBE: 2.0}[_KIND[shape]] * half * half
    row[:_R] = _KIND[shape], x, y, half
    row[_R:_RED] = half, half, math.cos(angle), math.sin(angle), bound
    row[_RED:_METAL] = color


def _pattern(ground: Ground | None) -> np.ndarray:
    """float64[7], what the compiled code reads: contrast, then both waves; all zero without a pattern."""
    if ground is None:
        return np.zeros(7)
    return np.array([ground.contrast, *ground.waves[0], *ground.waves[1]])


def _project(points: np.ndarray) -> np.ndarray:
    """[..., 3] in the world to (right, up) at distance 1 from the eye, and depth along the axis."""
    p = points - np.array(_EYE)
    depth = p[..., 1] * _COS - p[..., 2] * _SIN
    return np.stack([p[..., 0] / depth, (p[..., 1] * _SIN + p[..., 2] * _COS) / depth, depth], axis=-1)


def _to_pixels(u: float | np.ndarray, size: int) -> float | np.ndarray:
    return (u / HALF_FRAME + 1) * size / 2


def _key_lights(light: float) -> np.ndarray:
    """float64[GRID², 3]: directions to the key light's disc, one a sample; the middle one to its centre."""
    azimuth, elevation = math.radians(KEY_AZIMUTH + light), math.radians(KEY_ELEVATION)
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


@_compiled
def _boxes(solids, size):
    """int64[objects, 4]: columns [left, right) and rows [top, bottom) outside which an object isn't seen."""
    boxes = np.empty((len(solids), 4), np.int64)
    for i in range(len(solids)):
        s = solids[i]
        x, y, z = s[_X] - _EYE[0], s[_Y] - _EYE[1], s[_Z] - _EYE[2]
        left, right, low, high = np.inf, -np.inf, np.inf, -np.inf
        if s[_KND] == _BALL:
            # The tangents from the eye to the ball.
            depth, up, rr = y * _COS - z * _SIN, y * _SIN + z * _COS, s[_R] * s[_R]
            beyond = depth * depth - rr
            across = s[_R] * math.sqrt(x * x + beyond)
            left, right = (x * depth - across) / beyond, (x * depth + across) / beyond
            along = s[_R] * math.sqrt(up * up + beyond)
            low, high = (up * depth - along) / beyond, (up * depth + along) / beyond
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


@_compiled
def _ray(column, row, size):
    """Unit direction from the eye through a point of the image, counted in pixels from the top left."""
    u = (2 * column / size - 1) * HALF_FRAME
    v = (1 - 2 * row / size) * HALF_FRAME
    length = math.sqrt(u * u + v * v + 1)
    return u / length, (_COS + v * _SIN) / length, (v * _COS - _SIN) / length


@_compiled
def _hit(solids, i, ox, oy, oz, dx, dy, dz):
    """Distance along a unit ray to the object, inf if it misses; the ray begins outside of the object."""
    x, y, z = ox - solids[i, _X], oy - solids[i, _Y], oz - solids[i, _Z]
    b = x * dx + y * dy + z * dz
    c = x * x + y * y + z * z - solids[i, _BOUND]
    if b >= 0.0 and c >= 0.0:
        return np.inf
    disc = b * b - c
    if disc < 0.0:
        return np.inf
    if solids[i, _KND] == _BALL:
        t = -b - math.sqrt(disc)
        return t if t > 0.0 else np.inf
    if solids[i, _KND] == _BOX:
        lx, ly = solids[i, _C] * x + solids[i, _S] * y, solids[i, _C] * y - solids[i, _S] * x
        ex, ey = solids[i, _C] * dx + solids[i, _S] * dy, solids[i, _C] * dy - solids[i, _S] * dx
        near, far = 0.0, np.inf
        for o, d, h in ((lx, ex, solids[i, _R]), (ly, ey, solids[i, _R]), (z, dz, solids[i, _H])):
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
        disc = b * b - a * (x * x + y * y - solids[i, _R] * solids[i, _R])
        if disc < 0.0:
            return np.inf
        t = (-b - math.sqrt(disc)) / a
        if t > 0.0 and abs(z + t * dz) <= solids[i, _H]:
            best = t
    if abs(dz) > 1e-12:
        t = ((solids[i, _H] if dz < 0.0 else -solids[i, _H]) - z) / dz
        if 0.0 < t < best:
            px, py = x + t * dx, y + t * dy
            if px * px + py * py <= solids[i, _R] * solids[i, _R]:
                best = t
    return best


@_compiled
def _normal(solids, i, px, py, pz):
    """Outward unit normal at a point of the object's surface."""
    x, y, z = px - solids[i, _X], py - solids[i, _Y], pz - solids[i, _Z]
    if solids[i, _KND] == _BALL:
        return x / solids[i, _R], y / solids[i, _R], z / solids[i, _R]
    if solids[i, _KND] == _BOX:
        lx, ly = solids[i, _C] * x + solids[i, _S] * y, solids[i, _C] * y - solids[i, _S] * x
        if abs(z) >= abs(lx) and abs(z) >= abs(ly):
            return 0.0, 0.0, math.copysign(1.0, z)
        if abs(lx) >= abs(ly):
            side = math.copysign(1.0, lx)
            return side * solids[i, _C], side * solids[i, _S], 0.0
        side = math.copysign(1.0, ly)
        return -side * solids[i, _S], side * solids[i, _C], 0.0
    rho = math.sqrt(x * x + y * y)
    if abs(z) * solids[i, _R] >= rho * solids[i, _H]:
        return 0.0, 0.0, math.copysign(1.0, z)
    return x / rho, y / rho, 0.0


@_compiled
def _rounded_normal(solids, i, px, py, pz):
    """Normal of the object with its edges rounded off, for a cube the gradient of x⁴ + y⁴ + z⁴.

    Metal mirrors along it: a flat face mirrors one even spot and passes for rubber, a rounded edge gleams.
    """
    across, up = solids[i, _R], solids[i, _H]
    x, y, z = (px - solids[i, _X]) / across, (py - solids[i, _Y]) / across, (pz - solids[i, _Z]) / up
    if solids[i, _KND] == _BALL:
        return x, y, z
    if solids[i, _KND] == _BOX:
        c, s = solids[i, _C], solids[i, _S]
        lx, ly = c * x + s * y, c * y - s * x
        lx, ly = lx**3, ly**3
        x, y = c * lx - s * ly, s * lx + c * ly
    else:
        rr = x * x + y * y
        x, y = x * rr, y * rr
    z = z**3
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@_compiled
def _nearest(solids, skip, ox, oy, oz, dx, dy, dz):
    """Index of the first object on the ray (-1: none) and its distance; `skip` is where the ray starts."""
    best, which = np.inf, -1
    for i in range(len(solids)):
        if i != skip:
            t = _hit(solids, i, ox, oy, oz, dx, dy, dz)
            if t < best:
                best, which = t, i
    return which, best


@_compiled
def _shadowed(solids, skip, px, py, pz, lx, ly, lz):
    dark = False
    for i in range(len(solids)):
        dark = dark or (i != skip and _hit(solids, i, px, py, pz, lx, ly, lz) < np.inf)
    return dark


@_compiled
def _open(solids, skip, px, py, pz, nx, ny, nz):
    """Share of the ambient light that the other objects leave over, each taken as a ball of its size."""
    left = 1.0
    for i in range(len(solids)):
        x, y, z = solids[i, _X] - px, solids[i, _Y] - py, solids[i, _Z] - pz
        dd = x * x + y * y + z * z
        if i != skip and dd < 16.0 * solids[i, _R] * solids[i, _R]:
            facing = x * nx + y * ny + z * nz
            if facing > 0.0:
                left *= 1.0 - 0.75 * min(1.0, solids[i, _R] * solids[i, _R] * facing / (dd * math.sqrt(dd)))
    return left


@_compiled
def _falloff(x, y):
    """The lights hang over the middle: what lies farther out gets less of them."""
    return 1.0 / (1.0 + 0.016 * (x * x + (y + 0.5) * (y + 0.5)))


@_compiled
def _light_on(solids, skip, px, py, pz, nx, ny, nz, lx, ly, lz):
    """Light that arrives at a surface (1: a colour shows as published)."""
    total = 0.0
    facing = nx * lx + ny * ly + nz * lz
    if facing > 0.0 and not _shadowed(solids, skip, px, py, pz, lx, ly, lz):
        total += 0.90 * facing
    total += 0.18 * max(0.0, 0.66 * nx - 0.62 * ny + 0.42 * nz)  # fill, from the front right, casts no shadow
    total += 0.40 * (0.62 + 0.38 * nz) * _open(solids, skip, px, py, pz, nx, ny, nz)
    return total * _falloff(px, py)


_GROUND = 0.44


@_compiled
def _albedo(pattern, x, y):
    """How much of the light the ground gives back."""
    if pattern[0] == 0.0:
        return _GROUND
    first = math.sin(pattern[1] * x + pattern[2] * y + pattern[3])
    second = math.sin(pattern[4] * x + pattern[5] * y + pattern[6])
    return _GROUND * (1.0 + pattern[0] * first * second)


@_compiled
def _panel(dx, dy, dz):
    """Brightness of the lamp panel high up behind the scene, which the tops of metal objects mirror."""
    inside = max(0.0, 1.0 - (dx / 0.42) ** 2 - ((dz - 0.70) / 0.17) ** 2) if dy > 0.0 else 0.0
    return inside * inside


@_compiled
def _shade(solids, which, px, py, pz, dx, dy, dz, lx, ly, lz, pattern):
    """Linear colour of object `which` (-1: the ground) at a point of its surface, seen along the ray d."""
    if which < 0:
        g = _albedo(pattern, px, py) * _light_on(solids, -1, px, py, 0.0, 0.0, 0.0, 1.0, lx, ly, lz)
        return g, g, g
    nx, ny, nz = _normal(solids, which, px, py, pz)
    light = _light_on(solids, which, px, py, pz, nx, ny, nz, lx, ly, lz)
    red, green, blue = solids[which, _RED], solids[which, _RED + 1], solids[which, _RED + 2]
    if solids[which, _METAL] == 0.0:
        return red * light, green * light, blue * light
    mx, my, mz = _rounded_normal(solids, which, px, py, pz)
    along = dx * mx + dy * my + dz * mz
    rx, ry, rz = dx - 2 * along * mx, dy - 2 * along * my, dz - 2 * along * mz
    seen, t = _nearest(solids, which, px, py, pz, rx, ry, rz)
    if rz < 0.0 and -pz / rz < t:
        seen, t = -2, -pz / rz
    gleam = 0.0  # what lamps mirror so brightly that it looks white on metal of any colour
    if seen == -1:
        panel = _panel(rx, ry, rz)
        g = 0.12 + 0.75 * rz * rz + 1.4 * panel  # a dim horizon and a light ceiling
        mr, mg, mb = g, g, g
        gleam = 0.45 * panel
    else:
        qx, qy, qz = px + t * rx, py + t * ry, pz + t * rz
        if seen == -2:
            g = 0.9 * _albedo(pattern, qx, qy) * _light_on(solids, -1, qx, qy, 0.0, 0.0, 0.0, 1.0, lx, ly, lz)
            mr, mg, mb = g, g, g
        else:
            mx, my, mz = _normal(solids, seen, qx, qy, qz)
            g = _light_on(solids, seen, qx, qy, qz, mx, my, mz, lx, ly, lz)
            mr, mg, mb = g * solids[seen, _RED], g * solids[seen, _RED + 1], g * solids[seen, _RED + 2]
    if not _shadowed(solids, which, px, py, pz, lx, ly, lz):
        lobe = max(0.0, rx * lx + ry * ly + rz * lz) ** 8
        gleam += 0.15 * lobe + 1.5 * lobe**4
    # Metal tints what it mirrors; a part stays diffuse, so that its colour can be named in any surroundings.
    body, white = 0.28 * light, 0.02
    return (
        red * (body + mr) + white * mr + gleam * (0.6 + 0.4 * red),
        green * (body + mg) + white * mg + gleam * (0.6 + 0.4 * green),
        blue * (body + mb) + white * mb + gleam * (0.6 + 0.4 * blue),
    )


@_compiled
def _cover(solids, boxes, size):
    """Mask at the pixels' centres; pixels each object is seen at; pixels it would be seen at alone."""
    mask = np.full((size, size), -1, np.int8)
    depth = np.full((size, size), np.inf)
    alone = np.zeros(len(solids), np.int64)
    for i in range(len(solids)):
        for row in range(boxes[i, 2], boxes[i, 3]):
            for column in range(boxes[i, 0], boxes[i, 1]):
                dx, dy, dz = _ray(column + 0.5, row + 0.5, size)
                t = _hit(solids, i, _EYE[0], _EYE[1], _EYE[2], dx, dy, dz)
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


@_compiled
def _sample(solids, boxes, column, row, size, light, pattern):
    """Linear colour, clipped to 0..1, at a point of the image."""
    dx, dy, dz = _ray(column, row, size)
    best, which = np.inf, -1
    for i in range(len(solids)):
        if boxes[i, 0] <= column <= boxes[i, 1] and boxes[i, 2] <= row <= boxes[i, 3]:
            t = _hit(solids, i, _EYE[0], _EYE[1], _EYE[2], dx, dy, dz)
            if t < best:
                best, which = t, i
    if which < 0:
        best = -_EYE[2] / dz  # the camera looks down: every ray meets the ground
    r, g, b = _shade(
        solids, which, _EYE[0] + best * dx, _EYE[1] + best * dy, _EYE[2] + best * dz, dx, dy, dz,
        light[0], light[1], light[2], pattern,
    )  # fmt: skip
    return min(r, 1.0), min(g, 1.0), min(b, 1.0)


@_compiled
def _render(solids, boxes, lights, pattern, size):
    middle = (GRID * GRID) // 2
    linear = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            r, g, b = _sample(solids, boxes, column + 0.5, row + 0.5, size, lights[middle], pattern)
            linear[row, column, 0], linear[row, column, 1], linear[row, column, 2] = r, g, b
    # Pixels near an edge of any cause get GRID² samples; a shadow's soft rim grows with the resolution.
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
                    u, v = column + (k % GRID + 0.5) / GRID, row + (k // GRID + 0.5) / GRID
                    sr, sg, sb = _sample(solids, boxes, u, v, size, lights[k], pattern)
                    r, g, b = r + sr, g + sg, b + sb
                r, g, b = r / (GRID * GRID), g / (GRID * GRID), b / (GRID * GRID)
            image[row, column, 0] = _ENCODE[min(_CODES - 1, int(r * _CODES))]
            image[row, column, 1] = _ENCODE[min(_CODES - 1, int(g * _CODES))]
            image[row, column, 2] = _ENCODE[min(_CODES - 1, int(b * _CODES))]
    return image
