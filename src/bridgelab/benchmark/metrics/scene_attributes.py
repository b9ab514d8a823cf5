"""How many attributes of a scene's objects a caption gets right, for captions in CLEVR's words."""

from bridgelab.benchmark.metrics.example_metric import mean
from bridgelab.world.scene import ATTRIBUTES

_ATTRIBUTE_OF = {value: name for name, values in ATTRIBUTES.items() for value in values}
Attributes = dict[str, str]  # attribute -> value, of one object


def named_objects(caption: str) -> list[Attributes]:
    """Return the objects that a caption names, in its order: 'a red cube , …' -> [{color: red, shape: cube}, …].

    Objects are separated by commas. Words that are no attribute are skipped; of two values of one attribute the first
    counts; a phrase without any attribute is no object.
    """
    objects: list[Attributes] = []
    for phrase in caption.split(","):
        attributes: Attributes = {}
        for word in phrase.replace(".", " ").split():
            if word in _ATTRIBUTE_OF:
                attributes.setdefault(_ATTRIBUTE_OF[word], word)
        if attributes:
            objects.append(attributes)
    return objects


def attribute_shares(prediction: str, reference: str) -> dict[str, float]:
    r"""Return the share of the reference's attributes that the prediction gives.

    Objects are aligned in order; the alignment may skip objects, and the one with the most attributes right counts, so
    that one missing object does not shift all others. With $n$ objects in the reference and $m$ in the prediction, the
    share of an attribute is $\text{right} / \max(n, m)$, so naming too many objects costs as well. References name all
    four attributes of each object, as the world's captions do.

    Returns:
        `attributes` (mean over the four), `objects` (all four right), and one share for each attribute.
    Raises:
        ValueError: if the reference names no object.
    """
    expected, predicted = named_objects(reference), named_objects(prediction)
    if not expected:
        raise ValueError(
            f"reference {reference!r} names no object with attributes. Use CaptionMetric(attributes=False)."
        )
    pairs = _align(expected, predicted)
    count = max(len(expected), len(predicted))
    shares = {name: sum(a.get(name) == b.get(name, "") for a, b in pairs) / count for name in ATTRIBUTES}
    objects = sum(a == b for a, b in pairs) / count
    return {"attributes": mean(list(shares.values())), "objects": objects, **shares}


def _align(expected: list[Attributes], predicted: list[Attributes]) -> list[tuple[Attributes, Attributes]]:
    """Return the order-preserving alignment with the most attributes right, then with the most objects all right."""
    n, m = len(expected), len(predicted)
    gain = [[100 * sum(a.get(k) == v for k, v in b.items()) + (a == b) for b in predicted] for a in expected]
    best = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n):
        for j in range(m):
            best[i + 1][j + 1] = max(best[i][j] + gain[i][j], best[i][j + 1], best[i + 1][j])
    pairs, i, j = [], n, m
    while i and j:
        if best[i][j] == best[i - 1][j - 1] + gain[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((expected[i], predicted[j]))
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
