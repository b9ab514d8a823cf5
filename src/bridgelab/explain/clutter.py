"""Noise: what clutter in the background costs, and how much of the objects stands in background patches in the first place.

A ViT mixes what lies side by side: where an object can be read off the background beside it, that patch is no noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.data.batches import TokenizedExamples
from bridgelab.evaluation.predict import predict
from bridgelab.explain.probe.ridge import Probe, gram
from bridgelab.explain.scene_annotations import covered, shows
from bridgelab.model import BridgedModel
from bridgelab.report.diagnosis.record import ONE, sample_of
from bridgelab.statistics.estimate import Estimate, Sample
from bridgelab.world.scene import ATTRIBUTES

PATCHES = ("own", "beside", "apart")


@dataclass(frozen=True)
class Clutter:
    """The same questions about the same scenes, without and with things on the ground that nobody asks about.

    Args:
        plain: accuracy without.
        cluttered: accuracy with.
        cost: plain − cluttered, paired.
        likelihood_cost: by how much the right answer's log-probability falls (nats).
    """

    plain: Estimate
    cluttered: Estimate
    cost: Estimate
    likelihood_cost: Estimate


def clutter(
    model: BridgedModel,
    plain: TokenizedExamples,
    cluttered: TokenizedExamples,
    metric: ExampleMetric,
    *,
    batch_size: int = 128,
    progress: Callable[[int], None] | None = None,
) -> Clutter:
    """Ask the same questions with and without clutter.

    Args:
        progress: called with how many answers are there, of both together.
    Raises:
        ValueError: if the questions are not the same.
    """
    asked = [[(e.prompt, e.answers) for e in prepared.examples] for prepared in (plain, cluttered)]
    if asked[0] != asked[1]:
        raise ValueError(
            f"{len(plain)} plain and {len(cluttered)} cluttered questions are not the same ones: a difference of pairs needs the "
            "same scenes. Draw both splits anew with one seed."
        )
    scores, likely = [], []
    for before, prepared in ((0, plain), (len(plain), cluttered)):
        say = (lambda done, _, so_far=before: progress(so_far + done)) if progress else None
        found = predict(model, prepared, np.arange(len(prepared)), batch_size=batch_size, progress=say)
        scores.append([metric.score(one.text, e) for one, e in zip(found, prepared.examples, strict=True)])
        likely.append([one.likelihood for one in found])
    sample = sample_of(plain.examples)
    right, nats = np.array(scores, dtype=float), np.array(likely)
    without, with_it = (sample.mean(row[None], ONE) for row in right)
    cost = sample.mean(nats[:1] - nats[1:], ONE, shares=False)
    return Clutter(without, with_it, without - with_it, cost)


@dataclass(frozen=True)
class Things:
    """Objects of some images, and the patches that speak of each.

    Args:
        features: [object, dim], by which patch of `PATCHES`: of its own the one that it covers most; of the background the one
            nearest to that; and the one farthest from it.
        labels: indices into `ATTRIBUTES` [object], by name.
        image: of each object [object].
    """

    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    image: np.ndarray


def things(
    patches: np.ndarray,
    covers: Sequence[np.ndarray],
    scenes: Sequence[Sequence[dict]],
    grid: tuple[int, int],
) -> Things:
    """All objects of some images.

    Args:
        patches: [image, patch, dim], row by row, without a class token.
        covers: the object at each pixel of each image, −1 for none.
        scenes: the objects of each image, in CLEVR's layout.
    """
    place = np.stack(np.divmod(np.arange(grid[0] * grid[1]), grid[1]), 1)
    features: dict[str, list[np.ndarray]] = {name: [] for name in PATCHES}
    labels: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}
    images = []
    for image, (own, cover, objects) in enumerate(zip(patches, covers, scenes, strict=True)):
        share = covered(cover, len(objects), grid)
        empty = np.flatnonzero(~shows(cover, len(objects), grid).any(0))
        if not len(empty):
            continue
        for thing, seen in zip(objects, share, strict=True):
            here = int(seen.argmax())
            away = ((place[empty] - place[here]) ** 2).sum(1)
            for name, patch in zip(PATCHES, (here, empty[away.argmin()], empty[away.argmax()]), strict=True):
                features[name].append(own[patch])
            for name, words in ATTRIBUTES.items():
                labels[name].append(words.index(thing[name]))
            images.append(image)
    return Things(
        {name: np.stack(found) for name, found in features.items()},
        {name: np.array(found) for name, found in labels.items()},
        np.array(images),
    )


def background(fit: Things, new: Things) -> dict[str, dict[str, Estimate]]:
    """The share of new objects whose attribute a linear probe reads off a patch: of `PATCHES`, or 'guessed' without any.

    Returns:
        {patch: {attribute: share}}.
    """
    sample = Sample(new.image)
    found: dict[str, dict[str, Estimate]] = {}
    for name, features in fit.features.items():
        probe, across = Probe(gram(features, features)), gram(new.features[name], features)
        found[name] = {}
        for attribute, words in ATTRIBUTES.items():
            said = probe.predict(np.eye(len(words))[fit.labels[attribute]], across).argmax(1)
            found[name][attribute] = sample.mean((said == new.labels[attribute])[None].astype(float), ONE)
    found["guessed"] = {}
    for attribute, words in ATTRIBUTES.items():
        usual = np.bincount(fit.labels[attribute], minlength=len(words)).argmax()
        found["guessed"][attribute] = sample.mean((new.labels[attribute] == usual)[None].astype(float), ONE)
    return found
