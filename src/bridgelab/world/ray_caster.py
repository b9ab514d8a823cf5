"""Cast rays at spheres, upright cylinders and upright cubes on a gray ground: all code that numba compiles.

It is one file on purpose. numba caches each compiled function and compiles it again only if the function's own file has
changed, not if a function or a constant that it takes from another file has.

Conventions: `solids` is float64 [solid, WIDTH], one row of columns per solid. Points and directions are tuples (x, y, z)
in the world: x to the right, y away from the camera, z up. Colours are linear light, 1 being a colour as published.

Numbers are float64, on one thread, without fast-math: sums have one order, so a scene has the same bytes in every process.
"""

import math

import numpy as np
from numba import njit

Array = np.ndarray
Vector = tuple[float, float, float]

# The camera looks from DISTANCE at AIM on the ground, PITCH degrees down. The frame's edges lie HALF_FRAME to each side
# of the axis at distance 1, so that large objects in all corners of the square are in the frame.
PITCH = 42.0
DISTANCE = 16.0
AIM = (0.0, 0.1, 0.0)
HALF_FRAME = 0.296
COS_PITCH, SIN_PITCH = math.cos(math.radians(PITCH)), math.sin(math.radians(PITCH))
EYE = (AIM[0], AIM[1] - DISTANCE * COS_PITCH, AIM[2] + DISTANCE * SIN_PITCH)

GRID = 3  # samples along each side of a pixel that is anti-aliased

BOX, BALL, TUBE = 0, 1, 2
# Columns of a solid: kind, centre, half extent across and up, cosine and sine of the rotation, squared radius of the
# bounding sphere, linear colour (RED and the two after it), 1.0 if metal.
KIND, X, Y, Z, RADIUS, HALF_HEIGHT, COS, SIN, BOUND, RED, METAL, WIDTH = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13

GROUND_ALBEDO = 0.44
UP = (0.0, 0.0, 1.0)
SKY, GROUND = -1, -2  # what a mirrored ray meets, if it is no solid

# Without fast-math, and so with a fixed order of sums.
try:
    compiled = njit(cache=True, nogil=True, error_model="numpy")
    compiled(lambda: None)  # looks for a folder to cache in
except RuntimeError:  # neither this file's folder nor the user's may be written to
    compiled = njit(nogil=True, error_model="numpy")


@compiled
def _pixel_ray(column: float, row: float, size: int) -> Vector:
    """Return the unit direction from the eye through a point of the image, in pixels from the top left."""
    u = (2 * column / size - 1) * HALF_FRAME
    v = (1 - 2 * row / size) * HALF_FRAME
    length = math.sqrt(u * u + v * v + 1)
    return u / length, (COS_PITCH + v * SIN_PITCH) / length, (v * COS_PITCH - SIN_PITCH) / length


@compiled
def _along(origin: Vector, ray: Vector, t: float) -> Vector:
    return origin[0] + t * ray[0], origin[1] + t * ray[1], origin[2] + t * ray[2]


@compiled
def _hit(solids: Array, i: int, origin: Vector, ray: Vector) -> float:
    """Return the distance along a unit ray to solid `i`, inf on a miss. The ray starts outside the solid."""
    dx, dy, dz = ray
    x, y, z = origin[0] - solids[i, X], origin[1] - solids[i, Y], origin[2] - solids[i, Z]
    b = x * dx + y * dy + z * dz
    c = x * x + y * y + z * z - solids[i, BOUND]
    if b >= 0.0 and c >= 0.0:
        return np.inf
    disc = b * b - c
    if disc < 0.0:
        return np.inf
    if solids[i, KIND] == BALL:
        t = -b - math.sqrt(disc)
        return t if t > 0.0 else np.inf
    if solids[i, KIND] == BOX:
        return _hit_box(solids, i, (x, y, z), ray)
    return _hit_tube(solids, i, (x, y, z), ray)


@compiled
def _hit_box(solids: Array, i: int, offset: Vector, ray: Vector) -> float:
    """Intersect the ray with the three slabs of a cube; `offset` is the origin relative to the cube's centre."""
    x, y, z = offset
    dx, dy, dz = ray
    lx, ly = solids[i, COS] * x + solids[i, SIN] * y, solids[i, COS] * y - solids[i, SIN] * x
    ex, ey = solids[i, COS] * dx + solids[i, SIN] * dy, solids[i, COS] * dy - solids[i, SIN] * dx
    near, far = 0.0, np.inf
    for o, d, h in (
        (lx, ex, solids[i, RADIUS]),
        (ly, ey, solids[i, RADIUS]),
        (z, dz, solids[i, HALF_HEIGHT]),
    ):
        if abs(d) < 1e-12:
            if abs(o) > h:
                return np.inf
        else:
            a, e = (-h - o) / d, (h - o) / d
            if a > e:
                a, e = e, a
            near, far = max(near, a), min(far, e)
    return near if near <= far and near > 0.0 else np.inf


@compiled
def _hit_tube(solids: Array, i: int, offset: Vector, ray: Vector) -> float:
    """Intersect the ray with the round side of a cylinder, then with the cap that faces it."""
    x, y, z = offset
    dx, dy, dz = ray
    best = np.inf
    a = dx * dx + dy * dy
    if a > 1e-12:
        b = x * dx + y * dy
        disc = b * b - a * (x * x + y * y - solids[i, RADIUS] * solids[i, RADIUS])
        if disc < 0.0:
            return np.inf
        t = (-b - math.sqrt(disc)) / a
        if t > 0.0 and abs(z + t * dz) <= solids[i, HALF_HEIGHT]:
            best = t
    if abs(dz) > 1e-12:
        t = ((solids[i, HALF_HEIGHT] if dz < 0.0 else -solids[i, HALF_HEIGHT]) - z) / dz
        if 0.0 < t < best:
            px, py = x + t * dx, y + t * dy
            if px * px + py * py <= solids[i, RADIUS] * solids[i, RADIUS]:
                best = t
    return best


@compiled
def _normal(solids: Array, i: int, point: Vector) -> Vector:
    """Return the outward unit normal at a point of the solid's surface."""
    x, y, z = point[0] - solids[i, X], point[1] - solids[i, Y], point[2] - solids[i, Z]
    if solids[i, KIND] == BALL:
        return x / solids[i, RADIUS], y / solids[i, RADIUS], z / solids[i, RADIUS]
    if solids[i, KIND] == BOX:
        lx, ly = solids[i, COS] * x + solids[i, SIN] * y, solids[i, COS] * y - solids[i, SIN] * x
        if abs(z) >= abs(lx) and abs(z) >= abs(ly):
            return 0.0, 0.0, math.copysign(1.0, z)
        if abs(lx) >= abs(ly):
            sign = math.copysign(1.0, lx)
            return sign * solids[i, COS], sign * solids[i, SIN], 0.0
        sign = math.copysign(1.0, ly)
        return -sign * solids[i, SIN], sign * solids[i, COS], 0.0
    rho = math.sqrt(x * x + y * y)
    if abs(z) * solids[i, RADIUS] >= rho * solids[i, HALF_HEIGHT]:
        return 0.0, 0.0, math.copysign(1.0, z)
    return x / rho, y / rho, 0.0


@compiled
def _rounded_normal(solids: Array, i: int, point: Vector) -> Vector:
    """Return the normal of the solid with its edges rounded off: for a cube, the gradient of x⁴ + y⁴ + z⁴.

    Metal mirrors along it. A flat face mirrors one even spot and looks like rubber; a rounded edge gleams.
    """
    across, up = solids[i, RADIUS], solids[i, HALF_HEIGHT]
    x, y, z = (
        (point[0] - solids[i, X]) / across,
        (point[1] - solids[i, Y]) / across,
        (point[2] - solids[i, Z]) / up,
    )
    if solids[i, KIND] == BALL:
        return x, y, z
    if solids[i, KIND] == BOX:
        c, s = solids[i, COS], solids[i, SIN]
        lx, ly = c * x + s * y, c * y - s * x
        lx, ly = lx**3, ly**3
        x, y = c * lx - s * ly, s * lx + c * ly
    else:
        rr = x * x + y * y
        x, y = x * rr, y * rr
    z = z**3
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@compiled
def _nearest(solids: Array, skip: int, origin: Vector, ray: Vector) -> tuple[int, float]:
    """Return the first solid on the ray (SKY for none) and its distance. `skip` is the solid that the ray leaves."""
    best, which = np.inf, SKY
    for i in range(len(solids)):
        if i != skip:
            t = _hit(solids, i, origin, ray)
            if t < best:
                best, which = t, i
    return which, best


@compiled
def _shadowed(solids: Array, skip: int, point: Vector, light: Vector) -> bool:
    dark = False
    for i in range(len(solids)):
        dark = dark or (i != skip and _hit(solids, i, point, light) < np.inf)
    return dark


@compiled
def _ambient_share(solids: Array, skip: int, point: Vector, normal: Vector) -> float:
    """Return the share of ambient light that the other solids leave over, each taken as a ball of its size."""
    share = 1.0
    for i in range(len(solids)):
        x, y, z = solids[i, X] - point[0], solids[i, Y] - point[1], solids[i, Z] - point[2]
        dd = x * x + y * y + z * z
        if i != skip and dd < 16.0 * solids[i, RADIUS] * solids[i, RADIUS]:
            facing = x * normal[0] + y * normal[1] + z * normal[2]
            if facing > 0.0:
                share *= 1.0 - 0.75 * min(
                    1.0, solids[i, RADIUS] * solids[i, RADIUS] * facing / (dd * math.sqrt(dd))
                )
    return share


@compiled
def _light_on(solids: Array, skip: int, point: Vector, normal: Vector, light: Vector) -> float:
    """Return the light that arrives at a surface: key, fill and ambient, which fade away from the middle."""
    nx, ny, nz = normal
    total = 0.0
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    if facing > 0.0 and not _shadowed(solids, skip, point, light):
        total += 0.90 * facing
    total += 0.18 * max(0.0, 0.66 * nx - 0.62 * ny + 0.42 * nz)  # fill, from the front right, casts no shadow
    total += 0.40 * (0.62 + 0.38 * nz) * _ambient_share(solids, skip, point, normal)
    x, y = point[0], point[1]
    return total * (1.0 / (1.0 + 0.016 * (x * x + (y + 0.5) * (y + 0.5))))


@compiled
def _albedo(pattern: Array, x: float, y: float) -> float:
    """Return the share of light that the ground reflects: two crossed waves, where it has a pattern."""
    if pattern[0] == 0.0:
        return GROUND_ALBEDO
    first = math.sin(pattern[1] * x + pattern[2] * y + pattern[3])
    second = math.sin(pattern[4] * x + pattern[5] * y + pattern[6])
    return GROUND_ALBEDO * (1.0 + pattern[0] * first * second)


@compiled
def _ground(solids: Array, x: float, y: float, light: Vector, pattern: Array, gain: float) -> float:
    """Return the gray of the ground, times `gain`."""
    return gain * _albedo(pattern, x, y) * _light_on(solids, -1, (x, y, 0.0), UP, light)


@compiled
def _mirrored(
    solids: Array, which: int, point: Vector, ray: Vector, light: Vector, pattern: Array
) -> tuple[float, float, float, float]:
    """Return the colour that metal mirrors along `ray`, and the gleam of the lamp panel high up behind the scene."""
    rx, ry, rz = ray
    met, t = _nearest(solids, which, point, ray)
    if rz < 0.0 and -point[2] / rz < t:
        met, t = GROUND, -point[2] / rz
    if met == SKY:
        inside = max(0.0, 1.0 - (rx / 0.42) ** 2 - ((rz - 0.70) / 0.17) ** 2) if ry > 0.0 else 0.0
        panel = inside * inside
        g = 0.12 + 0.75 * rz * rz + 1.4 * panel  # a dim horizon and a light ceiling
        return g, g, g, 0.45 * panel
    there = _along(point, ray, t)
    if met == GROUND:
        g = _ground(solids, there[0], there[1], light, pattern, 0.9)
        return g, g, g, 0.0
    g = _light_on(solids, met, there, _normal(solids, met, there), light)
    return g * solids[met, RED], g * solids[met, RED + 1], g * solids[met, RED + 2], 0.0


@compiled
def _shade(solids: Array, which: int, point: Vector, ray: Vector, light: Vector, pattern: Array) -> Vector:
    """Return the linear colour of solid `which` (-1: the ground) at a point of its surface, seen along `ray`."""
    if which < 0:
        g = _ground(solids, point[0], point[1], light, pattern, 1.0)
        return g, g, g
    diffuse = _light_on(solids, which, point, _normal(solids, which, point), light)
    red, green, blue = solids[which, RED], solids[which, RED + 1], solids[which, RED + 2]
    if solids[which, METAL] == 0.0:
        return red * diffuse, green * diffuse, blue * diffuse
    dx, dy, dz = ray
    mx, my, mz = _rounded_normal(solids, which, point)
    along = dx * mx + dy * my + dz * mz
    rx, ry, rz = dx - 2 * along * mx, dy - 2 * along * my, dz - 2 * along * mz
    # Gleam: what lamps mirror so brightly that it looks white on metal of any colour.
    mr, mg, mb, gleam = _mirrored(solids, which, point, (rx, ry, rz), light, pattern)
    if not _shadowed(solids, which, point, light):
        lobe = max(0.0, rx * light[0] + ry * light[1] + rz * light[2]) ** 8
        gleam += 0.15 * lobe + 1.5 * lobe**4
    # Metal tints what it mirrors. A part stays diffuse, so that its colour can be named in any surroundings.
    body, white = 0.28 * diffuse, 0.02
    return (
        red * (body + mr) + white * mr + gleam * (0.6 + 0.4 * red),
        green * (body + mg) + white * mg + gleam * (0.6 + 0.4 * green),
        blue * (body + mb) + white * mb + gleam * (0.6 + 0.4 * blue),
    )


@compiled
def coverage(solids: Array, boxes: Array, size: int) -> tuple[Array, Array, Array]:
    """Find the solid at each pixel's centre.

    Returns:
        int8 [size, size], -1 for the ground; and int64 [solid] twice: the pixels at which a solid is visible, and those
        at which it would be if it stood alone.
    """
    mask = np.full((size, size), -1, np.int8)
    depth = np.full((size, size), np.inf)
    alone = np.zeros(len(solids), np.int64)
    for i in range(len(solids)):
        for row in range(boxes[i, 2], boxes[i, 3]):
            for column in range(boxes[i, 0], boxes[i, 1]):
                t = _hit(solids, i, EYE, _pixel_ray(column + 0.5, row + 0.5, size))
                if t < np.inf:
                    alone[i] += 1
                    if t < depth[row, column]:
                        depth[row, column] = t
                        mask[row, column] = i
    visible = np.zeros(len(solids), np.int64)
    for row in range(size):
        for column in range(size):
            if mask[row, column] >= 0:
                visible[mask[row, column]] += 1
    return mask, visible, alone


@compiled
def _sample(
    solids: Array, boxes: Array, column: float, row: float, size: int, light: Array, pattern: Array
) -> Vector:
    """Return the linear colour at a point of the image, clipped to 1."""
    ray = _pixel_ray(column, row, size)
    best, which = np.inf, -1
    for i in range(len(solids)):
        if boxes[i, 0] <= column <= boxes[i, 1] and boxes[i, 2] <= row <= boxes[i, 3]:
            t = _hit(solids, i, EYE, ray)
            if t < best:
                best, which = t, i
    if which < 0:
        best = -EYE[2] / ray[2]  # the camera looks down: every ray meets the ground
    point = _along(EYE, ray, best)
    r, g, b = _shade(solids, which, point, ray, (light[0], light[1], light[2]), pattern)
    return min(r, 1.0), min(g, 1.0), min(b, 1.0)


@compiled
def cast(solids: Array, boxes: Array, light: Array, pattern: Array, size: int) -> Array:
    """Return the linear image, float64 [size, size, 3], by one ray through each pixel's centre.

    Args:
        solids: float64 [solid, WIDTH].
        boxes: int64 [solid, 4], columns [left, right) and rows [top, bottom) outside which a solid isn't visible.
        light: float64 [3], direction to the key light.
        pattern: float64 [7], the ground's contrast and two waves.
        size: pixels a side.
    """
    linear = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            r, g, b = _sample(solids, boxes, column + 0.5, row + 0.5, size, light, pattern)
            linear[row, column, 0], linear[row, column, 1], linear[row, column, 2] = r, g, b
    return linear


@compiled
def anti_alias(
    solids: Array, boxes: Array, lights: Array, pattern: Array, chosen: Array, linear: Array
) -> None:
    """Replace, in place, each chosen pixel of `linear` by the mean of GRID² samples.

    Args:
        lights: float64 [GRID², 3], a direction to the key light for each sample, which gives shadows a soft rim.
        chosen: bool [size, size].
    """
    size = len(linear)
    for row in range(size):
        for column in range(size):
            if chosen[row, column]:
                r, g, b = 0.0, 0.0, 0.0
                for k in range(GRID * GRID):
                    u, v = column + (k % GRID + 0.5) / GRID, row + (k // GRID + 0.5) / GRID
                    sr, sg, sb = _sample(solids, boxes, u, v, size, lights[k], pattern)
                    r, g, b = r + sr, g + sg, b + sb
                n = GRID * GRID
                linear[row, column, 0], linear[row, column, 1], linear[row, column, 2] = r / n, g / n, b / n
