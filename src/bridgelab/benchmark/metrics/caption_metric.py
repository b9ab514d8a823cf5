"""The metric of captions: CIDEr-D, with either the attributes of a scene's objects or BLEU, METEOR and ROUGE-L."""

import logging
from collections.abc import Sequence
from typing import Any

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.cider import cider_d
from bridgelab.benchmark.metrics.coco_scores import coco_scores, require_pycocoevalcap
from bridgelab.benchmark.metrics.example_metric import ExampleMetric, Row, mean
from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar
from bridgelab.benchmark.metrics.scene_attributes import attribute_shares

# Published numbers have at least Flickr30k's test: 1,000 images with 5 references each.
PUBLISHED_IMAGES, PUBLISHED_REFERENCES = 1000, 5
log = logging.getLogger(__name__)


class CaptionMetric(ExampleMetric):
    """CIDEr-D over the corpus, and further scores that suit the references.

    Values with `attributes`: `cider` (times 10, as in the official code), and `caption_attributes`, `caption_objects`,
    `caption_size`, `caption_color`, `caption_material`, `caption_shape`, which are shares of attributes right against
    the best-matching reference, averaged over captions.
    Values without: `cider`, `bleu_1` to `bleu_4`, `rouge_l` and `stanford_tokens`. The last is 1 if Java is installed:
    then the published tokeniser splits words, and there is `meteor` too. It is 0 if `ptb_tokenizer.tokenize` splits
    them, which agrees on ordinary captions.

    Args:
        attributes: whether references name objects in CLEVR's words; False for captions of photographs.
    Raises:
        ValueError: if `attributes` is False and pycocoevalcap is not installed.
    """

    def __init__(self, *, attributes: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.attributes = attributes
        if not attributes:
            require_pycocoevalcap()

    def score(self, prediction: str, example: Example) -> float:
        """Return the share of attributes right; without attributes, 1 if the prediction equals a reference word for word."""
        if self.attributes:
            return _best_shares(prediction, example.answers)["attributes"]
        return float(prediction.split() in [reference.split() for reference in example.answers])

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if CIDEr-D is not comparable with published numbers: few images, or few references per image.

        Raises:
            ValueError: if there is a single image, on which CIDEr-D is always 0; or if `attributes` is set and a
                reference names no object.
        """
        if self.attributes:
            for e in examples:
                _best_shares("", e.answers)
        if scores_only:
            return None
        if len({e.images for e in examples}) < 2:
            raise ValueError(
                f"{len(examples)} captions of 1 image: CIDEr-D weighs words by how few images have them, so on a single image "
                "it is always 0. Set evaluate.limit.caption to at least 2, or null."
            )
        references = sum(len(e.answers) for e in examples) / len(examples)
        if not self.attributes and (len(examples) < PUBLISHED_IMAGES or references < PUBLISHED_REFERENCES):
            return (
                f"CIDEr-D over {len(examples)} images with {references:.3g} references each is not comparable with published "
                f"numbers, which are over {PUBLISHED_IMAGES:,} images or more with {PUBLISHED_REFERENCES} each"
            )
        return None

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return all values over the corpus."""
        predictions, references = [row["prediction"] for row in rows], [list(row["answers"]) for row in rows]
        if not self.attributes:
            stanford = stanford_jar() is not None
            try:
                values = coco_scores(predictions, references, stanford=stanford)
            except RuntimeError as error:  # a broken Java must not lose the run
                log.warning("captions are split by bridgelab's own tokeniser: %s", error)
                stanford = False
                values = coco_scores(predictions, references, stanford=stanford)
            return values | {"stanford_tokens": float(stanford)}
        cider, _ = cider_d(predictions, references)
        shares = [_best_shares(row["prediction"], row["answers"]) for row in rows]
        return {"cider": float(cider)} | {
            f"caption_{name}": mean([each[name] for each in shares]) for name in shares[0]
        }


def _best_shares(prediction: str, references: tuple[str, ...] | list[str]) -> dict[str, float]:
    """Return the attribute shares against the reference that the prediction matches best."""
    return max((attribute_shares(prediction, r) for r in references), key=lambda shares: shares["attributes"])
