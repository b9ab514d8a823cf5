"""How much of a picture a caption gets right: CIDEr-D, with BLEU, METEOR and ROUGE-L, or the attributes of a scene's objects."""

import importlib.util
import logging
from collections.abc import Sequence
from itertools import chain
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.cider import cider_d
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, mean
from bridgelab.benchmark.metrics.meteor import meteor
from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar, tokenize, tokenize_with_stanford
from bridgelab.world.scene import ATTRIBUTES

_ATTRIBUTE_OF = {value: name for name, values in ATTRIBUTES.items() for value in values}
IMAGES, REFERENCES = 1000, 5  # of published scores: Flickr30k's test, the smaller one
Named = dict[str, str]
log = logging.getLogger(__name__)


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


def coco_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, stanford: bool
) -> dict[str, float]:
    """The scores of COCO captions: BLEU-1 to 4 over the corpus, ROUGE-L and CIDEr-D meant over items, and METEOR by Java.

    BLEU (closest reference length, no smoothing) and ROUGE-L (beta = 1.2) are pycocoevalcap's own code, CIDEr-D is ours.

    Args:
        predictions: one caption an item.
        references: for each item its references, one at least.
        stanford: whether Java splits captions into words and counts METEOR, or `ptb.tokenize` splits them.
    Raises:
        ValueError: if Java or pycocoevalcap is asked for, but not there; and as `cider_d`.
        RuntimeError: if Java fails.
    """
    require_scorer()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    distinct = list(dict.fromkeys(chain(predictions, *references)))
    if stanford:
        if (jar := stanford_jar()) is None:
            raise ValueError(
                "stanford=True needs a java on PATH, and there is none. Install one, or set it to False."
            )
        split = tokenize_with_stanford(distinct, jar)
    else:
        split = [tokenize(caption) for caption in distinct]
    words = {caption: " ".join(tokens) for caption, tokens in zip(distinct, split, strict=True)}
    said = {k: [words[caption]] for k, caption in enumerate(predictions)}
    wanted = {k: [words[caption] for caption in group] for k, group in enumerate(references)}
    cider, _ = cider_d([text for (text,) in said.values()], list(wanted.values()), split=str.split)
    bleu, _ = Bleu(4).compute_score(wanted, said, verbose=0)
    rouge, _ = Rouge().compute_score(wanted, said)
    scores = {f"bleu_{n}": float(b) for n, b in enumerate(bleu, start=1)}
    if stanford:
        scores["meteor"] = meteor([text for (text,) in said.values()], list(wanted.values()))
    return {"cider": float(cider), "rouge_l": float(rouge)} | scores


def require_scorer() -> None:
    """Do nothing if pycocoevalcap is there.

    Raises:
        ValueError: if not.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise ValueError(
            "BLEU and ROUGE-L of captions need the package pycocoevalcap, which is not installed. "
            "Run: pip install pycocoevalcap"
        )


class CaptionMetric(ExampleMetric):
    """CIDEr-D over the corpus, and with it what suits the references.

    Values: `cider` (×10, as the official code has it), and with `attributes` also `caption_attributes`,
    `caption_objects`, `caption_size`, `caption_color`, `caption_material`, `caption_shape`: exact attributes against the
    reference they fit best, meant over captions. Without: `bleu_1` to `bleu_4`, `rouge_l`, and `stanford_tokens`, 1
    where Java was there, so that there is `meteor` too and the published tokeniser split the words, 0 where ours did, which
    agrees on ordinary captions.

    Args:
        attributes: whether references name objects in CLEVR's words; False for captions of photographs.
    Raises:
        ValueError: if `attributes` is False and pycocoevalcap is not installed.
    """

    def __init__(self, *, attributes: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.attributes = attributes
        if not attributes:
            require_scorer()

    def score(self, prediction: str, example: Example) -> float:
        """The share of attributes right; without attributes, 1 where a reference is met word for word."""
        if self.attributes:
            return _fit(prediction, example.answers)["attributes"]
        return float(prediction.split() in [reference.split() for reference in example.answers])

    def check(self, examples: Sequence[Example], *, alone: bool = False) -> str | None:
        """Warn of a corpus that makes CIDEr-D another than the published one: small, or with few references.

        Raises:
            ValueError: if there is a single image, on which CIDEr-D is always 0, or if attributes are asked of a reference
                that names no object.
        """
        if self.attributes:
            for e in examples:
                _fit("", e.answers)
        if alone:
            return None
        if len({e.images for e in examples}) < 2:
            raise ValueError(
                f"{len(examples)} captions of 1 image: CIDEr-D weighs words by how few images have them, and is 0 whatever is "
                "said of a single one. Set evaluate.limit.caption to at least 2, or null."
            )
        references = sum(len(e.answers) for e in examples) / len(examples)
        if not self.attributes and (len(examples) < IMAGES or references < REFERENCES):
            return (
                f"CIDEr-D over {len(examples)} images with {references:.3g} references each is not comparable with published "
                f"numbers, which are over {IMAGES:,} images or more with {REFERENCES} each"
            )
        return None

    def summarize(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """All values over the corpus."""
        predictions, references = [row["prediction"] for row in rows], [list(row["answers"]) for row in rows]
        if not self.attributes:
            stanford = stanford_jar() is not None
            try:
                values = coco_scores(predictions, references, stanford=stanford)
            except RuntimeError as error:  # a run is not lost by a broken Java
                log.warning("captions are split by bridgelab's own tokeniser: %s", error)
                stanford = False
                values = coco_scores(predictions, references, stanford=stanford)
            return values | {"stanford_tokens": float(stanford)}
        overall, _ = cider_d(predictions, references)
        fits = [_fit(row["prediction"], row["answers"]) for row in rows]
        return {"cider": float(overall)} | {
            f"caption_{name}": mean([fit[name] for fit in fits]) for name in fits[0]
        }


def _fit(prediction: str, references: tuple[str, ...] | list[str]) -> dict[str, float]:
    return max((attribute_shares(prediction, r) for r in references), key=lambda shares: shares["attributes"])
