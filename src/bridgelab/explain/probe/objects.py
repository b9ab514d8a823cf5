r"""Bottleneck: what of the objects is still linearly readable behind the bridge, and how many directions its tokens use.

The image is divided into `FIELDS` × `FIELDS`. For each field a probe reads, from all tokens of an image together, whether an
object's centre lies there and, if one alone does, its attributes and its place in the field (`read_off`); the same from
the patches, before the bridge. What falls between the two is lost in the bridge, or no longer there for a linear reader.

Effective rank: $\exp(-\sum_k p_k \ln p_k)$, $p_k$ the singular values over their sum (Roy & Vetterli 2007, EUSIPCO).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgelab.explain.probe.ridge import Probe, gram
from bridgelab.report.diagnosis.record import ONE
from bridgelab.statistics.contrast import Part
from bridgelab.statistics.estimate import Estimate, Sample
from bridgelab.world.scene import ATTRIBUTES

FIELDS = 4
STEP = 4
GROUPS = 20  # of images, each left out once


@dataclass(frozen=True)
class Layout:
    """The objects of some images by the field that their centre lies in.

    Args:
        occupied: bool [image, field].
        single: the object that is alone in a field, −1 where there is none or several [image, field].
        attributes: of that object, indices into `ATTRIBUTES` [image, field], by name.
        place: of its centre within the field, 0 to 1 to the right and down [image, field, 2].
    """

    occupied: np.ndarray
    single: np.ndarray
    attributes: dict[str, np.ndarray]
    place: np.ndarray


def layout(scenes: Sequence[Sequence[dict[str, Any]]], sizes: Sequence[tuple[int, int]]) -> Layout:
    """The objects of scenes by field.

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
                min(max(FIELDS * v / of, 0), FIELDS - 1e-9)
                for v, of in zip(thing["pixel_coords"], (width, height), strict=False)
            )
            field = int(y) * FIELDS + int(x)
            count[image, field] += 1
            single[image, field] = k
            place[image, field] = x % 1, y % 1
            for name, words in ATTRIBUTES.items():
                attributes[name][image, field] = words.index(thing[name])
    single[count != 1] = -1
    return Layout(count > 0, single, attributes, place)


def readable(fit: np.ndarray, new: np.ndarray, of_fit: Layout, of_new: Layout) -> dict[str, Estimate]:
    """How well each of `READ` is read off new images: shares of fields that are read right, for the place R² within the field.

    Args:
        fit: features of the fitting images [image, token, dim].
        new: of the new ones, over which the intervals are.
        of_fit: the fitting images' objects.
        of_new: the new ones'.
    """
    mean, spread = fit.mean((0, 1)), fit.std((0, 1)) + 1e-6
    fit, new = (fit - mean) / spread, (new - mean) / spread
    there = Probe(gram(fit, fit)).predict(of_fit.occupied.astype(float), gram(new, fit)) > 0.5
    hits = {name: np.zeros(of_new.single.shape) for name in ATTRIBUTES}
    missed, about = np.zeros(of_new.single.shape), np.zeros(of_new.single.shape)
    judged = _judged(of_fit, of_new)
    for field in np.flatnonzero(judged.any(0)):
        known, asked = np.flatnonzero(of_fit.single[:, field] >= 0), np.flatnonzero(judged[:, field])
        targets = {
            name: np.eye(len(words))[of_fit.attributes[name][known, field]]
            for name, words in ATTRIBUTES.items()
        }
        known_place, place = of_fit.place[known, field], of_new.place[asked, field]
        said = read_off(fit[known], targets | {"place": known_place}, new[asked])
        for name in ATTRIBUTES:
            hits[name][asked, field] = said[name].argmax(1) == of_new.attributes[name][asked, field]
        missed[asked, field] = ((said["place"] - place) ** 2).sum(1)
        about[asked, field] = ((known_place.mean(0) - place) ** 2).sum(1)
    found = {"occupied": _share(there == of_new.occupied, np.ones_like(judged))}
    found |= {name: _share(hits[name], judged) for name in ATTRIBUTES}
    errors, spreads = (_share(one, judged, shares=False) for one in (missed, about))
    return found | {"place": (errors / spreads * -1).plus(1)}


def read_off(fit: np.ndarray, targets: dict[str, np.ndarray], new: np.ndarray) -> dict[str, np.ndarray]:
    r"""What probes say that read the few tokens, or the many, that are best read.

    Of a bridge that keeps places, one token tells of a field, and a probe of all of them would drown; of another, all tell.
    So tokens are ranked by how much of the targets lies in them, $\sum_Y \lVert X^\top Y \rVert_F^2 / \lVert Y \rVert_F^2$ over
    $\lVert X^\top X \rVert_F$ (centred; kernel alignment, Cortes et al. 2012, arXiv:1203.0550), and for each target as many are
    read as err least when one example is left out: the first, the first `STEP`, `STEP`² …, or all.

    Args:
        fit: [image, token, dim].
        targets: by name [image, target].
        new: [new image, token, dim].
    Returns:
        By name [new image, target].
    """
    centred = fit - fit.mean(0)
    size = [np.linalg.norm(one.T @ one) for one in np.moveaxis(centred, 1, 0)]
    aligned = np.zeros(fit.shape[1])
    for target in targets.values():
        about = target - target.mean(0)
        moments = np.tensordot(about, centred, (0, 0))
        aligned += (moments**2).sum((0, 2)) / max(float((about**2).sum()), 1e-12)
    order = np.argsort(-aligned / np.maximum(size, 1e-12))
    tokens = len(order)
    error = dict.fromkeys(targets, np.inf)
    said: dict[str, np.ndarray] = {}
    for most in sorted({min(STEP**k, tokens) for k in range(1 + math.ceil(math.log(tokens, STEP)))}):
        read = order[:most]
        probe, across = Probe(gram(fit[:, read], fit[:, read])), gram(new[:, read], fit[:, read])
        for name, target in targets.items():
            if (found := probe.error(target)) < error[name]:
                error[name], said[name] = found, probe.predict(target, across)
    return said


def guessed(of_fit: Layout, of_new: Layout) -> dict[str, Estimate]:
    """What is right without any features: what is most frequent in each field of the fitting images; 0 of the place."""
    judged = _judged(of_fit, of_new)
    found = {"occupied": _share((of_fit.occupied.mean(0) > 0.5) == of_new.occupied, np.ones_like(judged))}
    for name, words in ATTRIBUTES.items():
        hits = np.zeros(judged.shape)
        for field in np.flatnonzero(judged.any(0)):
            values = of_fit.attributes[name][of_fit.single[:, field] >= 0, field]
            usual = np.bincount(values, minlength=len(words)).argmax()
            hits[:, field] = of_new.attributes[name][:, field] == usual
        found[name] = _share(hits, judged)
    return found | {"place": Estimate(0.0, {})}


def _judged(of_fit: Layout, of_new: Layout) -> np.ndarray:
    """The fields with one object, of which there are two to fit on at least [image, field]."""
    return (of_new.single >= 0) & ((of_fit.single >= 0).sum(0) >= 2)


def _share(hits: np.ndarray, judged: np.ndarray, *, shares: bool = True) -> Estimate:
    """The mean over fields that are judged; all fields of an image are drawn together."""
    images, fields = hits.shape
    sample = Sample(np.repeat(np.arange(images), fields))
    return sample.mean(hits.reshape(1, -1).astype(float), ONE, judged.ravel(), shares=shares)


def effective_rank(matrix: np.ndarray) -> float:
    """The effective rank of a matrix of vectors [vector, dim], as they are: centre them before, where that is meant."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return _perplexity(values)


def _perplexity(values: np.ndarray) -> float:
    total = values.sum()
    if total <= 0:
        return 0.0
    p = values[values > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def rank_over_images(tokens: np.ndarray) -> Estimate:
    """The effective rank of all images' tokens [image, token, dim], centred; images are left out in `GROUPS` groups (jackknife).

    Raises:
        ValueError: if there are fewer than two images.
    """

    def rank(images: np.ndarray) -> float:
        flat = tokens[images].reshape(-1, tokens.shape[-1]).astype(np.float64)
        flat = flat - flat.mean(0)
        return _perplexity(np.sqrt(np.linalg.eigvalsh(flat.T @ flat).clip(min=0)))

    return jackknife(rank, len(tokens))


def rank_within_image(tokens: np.ndarray) -> Estimate:
    """The effective rank of one image's tokens, mean over images: near 1 where they all say the same."""
    each = np.array([effective_rank(one.astype(np.float64)) for one in tokens])
    return Sample(range(len(each))).mean(each[None], ONE, shares=False)


def jackknife(statistic: Any, images: int) -> Estimate:
    r"""A statistic that is no mean, with its variance from its pseudo-values $G\theta - (G-1)\theta_{(g)}$, $g$ being left out.

    Args:
        statistic: of a set of images [image], their indices.
        images: how many there are.
    Raises:
        ValueError: if there are fewer than two.
    """
    if images < 2:
        raise ValueError(f"{images} image: a jackknife leaves some out, so at least 2 are needed.")
    groups = min(GROUPS, images)
    of = np.arange(images) % groups
    whole = statistic(np.arange(images))
    pseudo = np.array(
        [groups * whole - (groups - 1) * statistic(np.flatnonzero(of != g)) for g in range(groups)]
    )
    influence = (pseudo - pseudo.mean()) / math.sqrt(groups * (groups - 1))
    found = Part(np.array([whole]), influence[None], np.arange(groups), groups, 0.0, ONE.data_seeds)
    return Estimate(whole, {ONE: found})
