r"""Linear probes of an object's patches: ridge regression, tested on held-out scenes.

$W = (X^\top X + \lambda I)^{-1} X^\top Y$ on standardized features. Targets are one-hot for attributes (the largest output
wins), and x and y on the ground for position. $\lambda$ is chosen for each target on a held-out fifth of the fitting scenes.
Intervals are 95 % percentile bootstraps over images, since objects of one image are not independent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bridgelab.world.render import object_mask, pixel_coords, render, sample_visible_scene
from bridgelab.world.scene import ATTRIBUTES, Scene

KEY = 8  # of the random stream; pre-training and written worlds use others
LAMBDAS = tuple(10.0**k for k in range(-2, 6))
HALF_HIDDEN = 0.6  # an object is half-hidden if less than this share of it is visible


@runtime_checkable
class Vision(Protocol):
    """What a probe needs of a vision encoder."""

    grid: tuple[int, int]
    image_size: tuple[int, int]

    def patches(self, images: Tensor) -> Tensor:
        """Return features [batch, patch, dim] of images, uint8 [batch, height, width, 3]."""
        ...


@dataclass(frozen=True)
class Objects:
    """All objects of some scenes.

    Args:
        features: [object, dim], by pooling.
        labels: [object], by attribute.
        position: x and y, [object, 2].
        image: index of the object's image, [object].
        visible: share of the object's own pixels that no other hides, [object].
        small: whether the object is small, [object].
    """

    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    position: np.ndarray
    image: np.ndarray
    visible: np.ndarray
    small: np.ndarray


def read_objects(vision: Vision, scenes: list[Scene], batch: int = 128) -> Objects:
    """Return features of each object by three poolings.

    'centre' is the patch at its centre, 'mask' the mean over the patches under its pixels, 'around' the centre's patch
    and its eight neighbours, since an object lies on several patches.
    """
    size, (rows, columns) = vision.image_size[0], vision.grid
    centre, mask, around, visible = [], [], [], []
    for start in range(0, len(scenes), batch):
        part = scenes[start : start + batch]
        patches = (
            vision.patches(torch.from_numpy(np.stack([render(s, size) for s in part]))).float().cpu().numpy()
        )
        for scene, grid in zip(part, patches[:, -rows * columns :], strict=True):
            cover = object_mask(scene, size)
            edged = np.pad(grid.reshape(rows, columns, -1), ((1, 1), (1, 1), (0, 0)))
            for k, thing in enumerate(scene.objects):
                x, y, _ = pixel_coords(thing, size)
                row, column = (min(max(v, 0), size - 1) * n // size for v, n in ((y, rows), (x, columns)))
                centre.append(grid[row * columns + column])
                around.append(edged[row : row + 3, column : column + 3].ravel())
                own = cover == k
                area = own.reshape(rows, size // rows, columns, size // columns).sum((1, 3)).ravel()
                mask.append((area / max(1, area.sum())) @ grid)
                visible.append(own.sum() / max(1, (object_mask(Scene((thing,)), size) == 0).sum()))
    things = [thing for scene in scenes for thing in scene.objects]
    return Objects(
        features={"centre": np.stack(centre), "mask": np.stack(mask), "around": np.stack(around)},
        labels={
            name: np.array([words.index(getattr(t, name)) for t in things])
            for name, words in ATTRIBUTES.items()
        },
        position=np.array([(t.x, t.y) for t in things]),
        image=np.repeat(np.arange(len(scenes)), [len(s.objects) for s in scenes]),
        visible=np.array(visible),
        small=np.array([t.size == "small" for t in things]),
    )


def ridge(
    features: np.ndarray, targets: np.ndarray, lambdas: tuple[float, ...] = LAMBDAS
) -> list[np.ndarray]:
    """Return weights [dim + 1, target] for each λ; the last row is the intercept.

    Args:
        features: [example, dim].
        targets: [example, target].
    """
    mean, spread = features.mean(0), features.std(0) + 1e-6
    x = ((features - mean) / spread).astype(np.float64)
    centre = targets.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x)
    moment = vectors.T @ (x.T @ (targets - centre))
    fits = []
    for value in lambdas:
        weights = (vectors @ (moment / (values[:, None] + value))) / spread[:, None]
        fits.append(np.vstack([weights, centre - mean @ weights]))
    return fits


def predict(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return predictions, [example, target]."""
    return features @ weights[:-1] + weights[-1]


def fit_ridge(features: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Choose λ by the error on the last fifth of the groups, and return weights fitted on all."""
    held_out = groups >= np.quantile(groups, 0.8)
    trials = ridge(features[~held_out], targets[~held_out])
    errors = [((predict(w, features[held_out]) - targets[held_out]) ** 2).mean() for w in trials]
    return ridge(features, targets, (LAMBDAS[int(np.argmin(errors))],))[0]


def share(hits: np.ndarray, image: np.ndarray, draws: int = 1000) -> dict[str, Any]:
    """Return the mean of `hits` with its 95 % interval over images."""
    if len(hits) == 0:
        return {"value": None, "interval": None, "objects": 0}
    _, index = np.unique(image, return_inverse=True)
    right, number = np.bincount(index, hits), np.bincount(index)
    weights = _resample(len(number), draws)
    return {
        "value": round(float(hits.mean()), 4),
        "interval": [
            round(float(q), 4) for q in np.quantile(weights @ right / (weights @ number), (0.025, 0.975))
        ],
        "objects": len(hits),
    }


def r_squared(
    predicted: np.ndarray, truth: np.ndarray, image: np.ndarray, draws: int = 1000
) -> dict[str, Any]:
    """Return R² of one coordinate with its 95 % interval over images."""
    _, index = np.unique(image, return_inverse=True)
    sums = np.stack(
        [np.bincount(index, v) for v in ((predicted - truth) ** 2, truth, truth**2, np.ones_like(truth))]
    )

    def r2(total: np.ndarray) -> Any:
        error, first, second, number = total
        return 1 - error / (second - first**2 / number)

    spread = r2(sums @ _resample(sums.shape[1], draws).T)
    return {
        "value": round(float(r2(sums.sum(1))), 4),
        "interval": [round(float(q), 4) for q in np.quantile(spread, (0.025, 0.975))],
        "objects": len(truth),
    }


def _resample(images: int, draws: int) -> np.ndarray:
    """Return how often each image is drawn, float [draw, image]."""
    return np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), draws).astype(float)


def fit_and_test(fit: Objects, test: Objects) -> dict[str, Any]:
    """Fit on `fit`, and return figures on `test`: {pooling: {attribute: {all, small, half_hidden}, x: …, y: …}}."""
    parts = {
        "all": np.ones(len(test.image), bool),
        "small": test.small,
        "half_hidden": test.visible < HALF_HIDDEN,
    }
    figures: dict[str, Any] = {}
    for pooling, features in fit.features.items():
        figures[pooling] = {}
        for name, words in ATTRIBUTES.items():
            weights = fit_ridge(features, np.eye(len(words))[fit.labels[name]], fit.image)
            hits = predict(weights, test.features[pooling]).argmax(1) == test.labels[name]
            figures[pooling][name] = {
                part: share(hits[keep].astype(float), test.image[keep]) for part, keep in parts.items()
            }
        weights = fit_ridge(features, fit.position, fit.image)
        predicted = predict(weights, test.features[pooling])
        for k, name in enumerate("xy"):
            figures[pooling][name] = r_squared(predicted[:, k], test.position[:, k], test.image)
    return figures


def probe_scenes(seed: int, indices: Iterable[int], objects: tuple[int, int]) -> list[Scene]:
    """Draw scenes that nothing is trained on."""
    return [
        sample_visible_scene(np.random.default_rng([KEY, seed, index]), objects=objects) for index in indices
    ]


def probe(
    vision: Vision, *, fit: int = 1500, test: int = 1000, seed: int = 1, objects: tuple[int, int] = (3, 10)
) -> dict[str, Any]:
    """Render `fit` and `test` new scenes, and probe the features of their objects."""
    scenes = probe_scenes(seed, range(fit + test), objects)
    figures = fit_and_test(read_objects(vision, scenes[:fit]), read_objects(vision, scenes[fit:]))
    return {"scenes": {"fit": fit, "test": test, "seed": seed, "key": KEY}, **figures}


def summary(figures: dict[str, Any]) -> str:
    """Return one line: every figure for all objects, and for the small ones, by pooling."""
    lines = []
    for pooling in (name for name in figures if name != "scenes"):
        part = figures[pooling]
        names = [f"{n} {part[n]['all']['value']:.3f} ({part[n]['small']['value']:.3f})" for n in ATTRIBUTES]
        lines.append(
            f"{pooling}: {', '.join(names)}, R² x {part['x']['value']:.3f} y {part['y']['value']:.3f}"
        )
    return " | ".join(lines) + "  (small objects in brackets)"
