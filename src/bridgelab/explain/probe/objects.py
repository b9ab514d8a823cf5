r"""What can be read of the objects linearly, before and behind the bridge.

The image is divided into `FIELDS` × `FIELDS` fields. For each field a ridge probe reads from all tokens of an image whether an object's
centre lies there and, if exactly one does, its attributes and its place in the field. The same is read from the patches, before the
bridge. What is lost between the two was lost in the bridge, or is no longer there for a linear reader.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgelab.explain.probe.ridge import RidgeProbe, gram
from bridgelab.report.diagnosis.record import SINGLE_RUN
from bridgelab.statistics.estimate import Estimate, Sample
from bridgelab.world.scene import ATTRIBUTES

FIELDS = 4  # in each direction
TOKEN_FACTOR = 4  # numbers of tokens that a probe tries: 1, 4, 16, …


@dataclass(frozen=True)
class Layout:
    """The objects of some images by the field that contains their centre.

    Args:
        occupied: whether a field has an object, bool [image, field].
        single: the object that is alone in a field, −1 if there is none or several [image, field].
        attributes: by name, that object's index into `ATTRIBUTES` [image, field].
        place: of its centre within the field, from 0 to 1, right and down [image, field, 2].
    """

    occupied: np.ndarray
    single: np.ndarray
    attributes: dict[str, np.ndarray]
    place: np.ndarray


def layout(scenes: Sequence[Sequence[dict[str, Any]]], sizes: Sequence[tuple[int, int]]) -> Layout:
    """Return the objects of some scenes by field.

    Args:
        scenes: the objects of each image, in CLEVR's layout.
        sizes: height and width of each image in pixels.
    """
    shape = (len(scenes), FIELDS**2)
    count, single, place = np.zeros(shape, int), np.full(shape, -1), np.zeros((*shape, 2))
    attributes = {name: np.zeros(shape, int) for name in ATTRIBUTES}
    for image, (objects, (height, width)) in enumerate(zip(scenes, sizes, strict=True)):
        for k, thing in enumerate(objects):
            x, y = (
                min(max(FIELDS * coordinate / extent, 0), FIELDS - 1e-9)
                for coordinate, extent in zip(thing["pixel_coords"], (width, height), strict=False)
            )
            field = int(y) * FIELDS + int(x)
            count[image, field] += 1
            single[image, field] = k
            place[image, field] = x % 1, y % 1
            for name, words in ATTRIBUTES.items():
                attributes[name][image, field] = words.index(thing[name])
    single[count != 1] = -1
    return Layout(count > 0, single, attributes, place)


def probe_objects(
    fit: np.ndarray, test: np.ndarray, fit_layout: Layout, test_layout: Layout
) -> dict[str, Estimate]:
    """Return how well occupancy, attributes and place are read off test images.

    Args:
        fit: features of the fitting images [image, token, dim].
        test: features of the test images, over which the intervals are.
        fit_layout: objects of the fitting images.
        test_layout: objects of the test images.
    Returns:
        By name, the share of fields that are read right; for `place`, R² within the field.
    """
    mean, spread = fit.mean((0, 1)), fit.std((0, 1)) + 1e-6
    fit, test = (fit - mean) / spread, (test - mean) / spread
    probe = RidgeProbe(gram(fit, fit))
    occupied = probe.predict(fit_layout.occupied.astype(float), gram(test, fit)) > 0.5
    shape = test_layout.single.shape
    hits = {name: np.zeros(shape) for name in ATTRIBUTES}
    place_error, place_variance = np.zeros(shape), np.zeros(shape)
    probed = _probed_fields(fit_layout, test_layout)
    for field in np.flatnonzero(probed.any(0)):
        fit_rows = np.flatnonzero(fit_layout.single[:, field] >= 0)
        test_rows = np.flatnonzero(probed[:, field])
        one_hot = {
            name: np.eye(len(words))[fit_layout.attributes[name][fit_rows, field]]
            for name, words in ATTRIBUTES.items()
        }
        fit_place, place = fit_layout.place[fit_rows, field], test_layout.place[test_rows, field]
        predicted = probe_tokens(fit[fit_rows], one_hot | {"place": fit_place}, test[test_rows])
        for name in ATTRIBUTES:
            truth = test_layout.attributes[name][test_rows, field]
            hits[name][test_rows, field] = predicted[name].argmax(1) == truth
        place_error[test_rows, field] = ((predicted["place"] - place) ** 2).sum(1)
        place_variance[test_rows, field] = ((fit_place.mean(0) - place) ** 2).sum(1)
    shares = {"occupied": _mean_over_fields(occupied == test_layout.occupied, np.ones_like(probed))}
    shares |= {name: _mean_over_fields(hits[name], probed) for name in ATTRIBUTES}
    error, variance = (
        _mean_over_fields(values, probed, within_unit=False) for values in (place_error, place_variance)
    )
    return shares | {"place": (error / variance * -1).plus_constant(1)}


def probe_tokens(fit: np.ndarray, targets: dict[str, np.ndarray], test: np.ndarray) -> dict[str, np.ndarray]:
    r"""Return predictions of ridge probes that read the best number of tokens.

    If a bridge preserves the patch grid, one token describes a field and the others are noise to its probe; otherwise all tokens
    describe it. So tokens are ranked by their alignment with the targets,
    $\sum_Y \lVert X^\top Y \rVert_F^2 / \lVert Y \rVert_F^2$ over $\lVert X^\top X \rVert_F$ (centred kernel alignment, Cortes et al.
    2012, arXiv:1203.0550). For each target, the first 1, `TOKEN_FACTOR`, `TOKEN_FACTOR`² … tokens, or all, are read, whichever has the
    least leave-one-out error.

    Args:
        fit: [image, token, dim].
        targets: by name [image, target].
        test: [test image, token, dim].
    Returns:
        By name [test image, target].
    """
    order = np.argsort(-_alignment(fit, targets))
    tokens = len(order)
    steps = range(1 + math.ceil(math.log(tokens, TOKEN_FACTOR)))
    least_error = dict.fromkeys(targets, np.inf)
    predictions: dict[str, np.ndarray] = {}
    for number in sorted({min(TOKEN_FACTOR**k, tokens) for k in steps}):
        read = order[:number]
        probe = RidgeProbe(gram(fit[:, read], fit[:, read]))
        inner_products = gram(test[:, read], fit[:, read])
        for name, target in targets.items():
            if (error := probe.error(target)) < least_error[name]:
                least_error[name], predictions[name] = error, probe.predict(target, inner_products)
    return predictions


def _alignment(features: np.ndarray, targets: dict[str, np.ndarray]) -> np.ndarray:
    """Return each token's alignment with the targets [token]."""
    centred = features - features.mean(0)
    norms = [np.linalg.norm(token.T @ token) for token in np.moveaxis(centred, 1, 0)]
    aligned = np.zeros(features.shape[1])
    for target in targets.values():
        centred_target = target - target.mean(0)
        moments = np.tensordot(centred_target, centred, (0, 0))
        aligned += (moments**2).sum((0, 2)) / max(float((centred_target**2).sum()), 1e-12)
    return aligned / np.maximum(norms, 1e-12)


def guess_objects(fit_layout: Layout, test_layout: Layout) -> dict[str, Estimate]:
    """Return what `probe_objects` would without features: each field's most frequent value in the fitting images; 0 for `place`."""
    probed = _probed_fields(fit_layout, test_layout)
    occupied = fit_layout.occupied.mean(0) > 0.5
    shares = {"occupied": _mean_over_fields(occupied == test_layout.occupied, np.ones_like(probed))}
    for name, words in ATTRIBUTES.items():
        hits = np.zeros(probed.shape)
        for field in np.flatnonzero(probed.any(0)):
            values = fit_layout.attributes[name][fit_layout.single[:, field] >= 0, field]
            most_frequent = np.bincount(values, minlength=len(words)).argmax()
            hits[:, field] = test_layout.attributes[name][:, field] == most_frequent
        shares[name] = _mean_over_fields(hits, probed)
    return shares | {"place": Estimate(0.0, {})}


def _probed_fields(fit_layout: Layout, test_layout: Layout) -> np.ndarray:
    """Return the fields with one object, if at least two fitting images have one object there, bool [image, field]."""
    return (test_layout.single >= 0) & ((fit_layout.single >= 0).sum(0) >= 2)


def _mean_over_fields(values: np.ndarray, probed: np.ndarray, *, within_unit: bool = True) -> Estimate:
    """Return the mean over probed fields; the fields of an image are one cluster."""
    images, fields = values.shape
    sample = Sample(np.repeat(np.arange(images), fields))
    return sample.mean(
        values.reshape(1, -1).astype(float), SINGLE_RUN, probed.ravel(), within_unit=within_unit
    )
