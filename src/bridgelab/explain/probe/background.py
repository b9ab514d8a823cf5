"""How much of an object can be read off background patches.

A ViT mixes adjacent patches. If an object can be read off the background beside it, that patch is not noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridgelab.explain.patch_coverage import patch_coverage, patches_of_objects
from bridgelab.explain.probe.ridge import RidgeProbe, gram
from bridgelab.report.diagnosis.record import SINGLE_RUN
from bridgelab.statistics.estimate import Estimate, Sample
from bridgelab.world.scene import ATTRIBUTES

PATCHES = ("own", "beside", "apart")


@dataclass(frozen=True)
class ObjectPatches:
    """The objects of some images, with three patches for each.

    Args:
        features: by name of the patch [object, dim]: `own` is the patch that the object covers most, `beside` the background patch
            nearest to it, and `apart` the farthest one.
        labels: by attribute, index into `ATTRIBUTES` [object].
        image: index of each object's image [object].
    """

    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    image: np.ndarray


def object_patches(
    patches: np.ndarray,
    masks: Sequence[np.ndarray],
    scenes: Sequence[Sequence[dict]],
    grid: tuple[int, int],
) -> ObjectPatches:
    """Return the objects that are seen, of all images that have a background patch.

    Args:
        patches: [image, patch, dim], row by row, without a class token.
        masks: the object at each pixel of each image, −1 for none.
        scenes: the objects of each image, in CLEVR's layout.
        grid: rows and columns of patches.
    """
    position = np.stack(np.divmod(np.arange(grid[0] * grid[1]), grid[1]), 1)
    features: dict[str, list[np.ndarray]] = {name: [] for name in PATCHES}
    labels: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}
    images = []
    for image, (own, mask, objects) in enumerate(zip(patches, masks, scenes, strict=True)):
        background = np.flatnonzero(~patches_of_objects(mask, len(objects), grid).any(0))
        if not len(background):
            continue
        for thing, coverage in zip(objects, patch_coverage(mask, len(objects), grid), strict=True):
            if not coverage.any():  # behind others
                continue
            center = int(coverage.argmax())
            distance = ((position[background] - position[center]) ** 2).sum(1)
            nearest, farthest = background[distance.argmin()], background[distance.argmax()]
            for name, patch in zip(PATCHES, (center, nearest, farthest), strict=True):
                features[name].append(own[patch])
            for name, words in ATTRIBUTES.items():
                labels[name].append(words.index(thing[name]))
            images.append(image)
    return ObjectPatches(
        {name: np.stack(rows) for name, rows in features.items()},
        {name: np.array(values) for name, values in labels.items()},
        np.array(images),
    )


def probe_background(fit: ObjectPatches, test: ObjectPatches) -> dict[str, dict[str, Estimate]]:
    """Return the share of test objects whose attribute a ridge probe reads off a patch.

    Args:
        fit: objects that the probe is fitted on.
        test: objects that it is tested on; intervals are over their images.
    Returns:
        {patch: {attribute: share}} for each of `PATCHES`, and `guessed` for the most frequent value of the fitting objects.
    """
    sample = Sample(test.image)

    def share(predicted: np.ndarray | np.integer, attribute: str) -> Estimate:
        return sample.mean((test.labels[attribute] == predicted)[None].astype(float), SINGLE_RUN)

    shares: dict[str, dict[str, Estimate]] = {}
    for name, features in fit.features.items():
        probe, inner_products = RidgeProbe(gram(features, features)), gram(test.features[name], features)
        shares[name] = {}
        for attribute, words in ATTRIBUTES.items():
            one_hot = np.eye(len(words))[fit.labels[attribute]]
            shares[name][attribute] = share(probe.predict(one_hot, inner_products).argmax(1), attribute)
    shares["guessed"] = {
        attribute: share(np.bincount(fit.labels[attribute], minlength=len(words)).argmax(), attribute)
        for attribute, words in ATTRIBUTES.items()
    }
    return shares
