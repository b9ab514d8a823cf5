"""How much of a scene a caption gets right: CIDEr-D, and the attributes of the objects it names, in order."""

from typing import Any

from bridgelab.benchmark.cider import cider_d
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metric import ExampleMetric, mean
from bridgelab.world.scene import ATTRIBUTES

_ATTRIBUTE_OF = {value: name for name, values in ATTRIBUTES.items() for value in values}
Named = dict[str, str]


def named_objects(caption: str) -> list[Named]:
    """The objects a caption names, in its order: 'a red cube , …' -> [{color: red, shape: cube}, …].

    Objects stand between commas. Words that are no attribute are passed over, of two values of one attribute
    the first holds, and a phrase without any attribute is no object.
    """
    found: list[Named] = []
    for phrase in caption.split(","):
        named: Named = {}
        for word in phrase.replace(".", " ").split():
            if word in _ATTRIBUTE_OF:
                named.setdefault(_ATTRIBUTE_OF[word], word)
        if named:
            found.append(named)
    return found


def attribute_shares(prediction: str, reference: str) -> dict[str, float]:
    r"""What share of the reference's attributes the prediction gives, object by object in order.

    Objects are matched in order, skipping where that helps: of all alignments that preserve order, the one
    with the most attributes right, so that one object left out does not shift all others. With $n$ objects in
    the reference and $m$ in the prediction, the share of an attribute is $\text{right} / \max(n, m)$: naming
    too many costs as well. References name all four attributes of each object, as the world's captions do.

    Returns:
        `attributes` (mean over the four), `objects` (all four right), and one share for each attribute.
    Raises:
        ValueError: if the reference names no object.
    """
    wanted, given = named_objects(reference), named_objects(prediction)
    if not wanted:
        raise ValueError(
            f"reference {reference!r} names no object with attributes. Use CaptionMetric(attributes=False)."
        )
    pairs = _align(wanted, given)
    most = max(len(wanted), len(given))
    shares = {name: sum(a.get(name) == b.get(name, "") for a, b in pairs) / most for name in ATTRIBUTES}
    whole = sum(a == b for a, b in pairs) / most
    return {"attributes": mean(list(shares.values())), "objects": whole, **shares}


def _align(wanted: list[Named], given: list[Named]) -> list[tuple[Named, Named]]:
    """The order-preserving alignment with the most attributes right, of these the most whole objects."""
    n, m = len(wanted), len(given)
    gain = [[100 * sum(a.get(k) == v for k, v in b.items()) + (a == b) for b in given] for a in wanted]
    best = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n):
        for j in range(m):
            best[i + 1][j + 1] = max(best[i][j] + gain[i][j], best[i][j + 1], best[i + 1][j])
    pairs, i, j = [], n, m
    while i and j:
        if best[i][j] == best[i - 1][j - 1] + gain[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((wanted[i], given[j]))
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


class CaptionMetric(ExampleMetric):
    """CIDEr-D over the corpus, and exact attributes against the reference they fit best, meant over captions.

    Values: `cider` (×10, as the official code has it), and with `attributes` also `caption_attributes`,
    `caption_objects`, `caption_size`, `caption_color`, `caption_material`, `caption_shape`.

    Args:
        attributes: whether references name objects in CLEVR's words; False for captions of photographs.
    """

    def __init__(self, *, attributes: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.attributes = attributes

    def score(self, prediction: str, example: Example) -> float:
        """The share of attributes right; without attributes, 1 where a reference is met word for word."""
        if self.attributes:
            return _fit(prediction, example.answers)["attributes"]
        return float(prediction.split() in [reference.split() for reference in example.answers])

    def summarise(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """CIDEr-D and the mean shares."""
        overall, _ = cider_d([row["prediction"] for row in rows], [list(row["answers"]) for row in rows])
        values = {"cider": float(overall)}
        if self.attributes:
            fits = [_fit(row["prediction"], row["answers"]) for row in rows]
            values |= {f"caption_{name}": mean([fit[name] for fit in fits]) for name in fits[0]}
        return values


def _fit(prediction: str, references: tuple[str, ...] | list[str]) -> dict[str, float]:
    return max((attribute_shares(prediction, r) for r in references), key=lambda shares: shares["attributes"])
