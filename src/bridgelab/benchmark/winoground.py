"""Winoground: which of two captions of the same words belongs to which of two images? Evaluation only.

Source: Thrush et al. 2022, "Winoground: Probing Vision and Language Models for Visio-Linguistic
Compositionality" (CVPR, arXiv:2204.03162).
Metric: `WinogroundMetric`: text, image and group score, by what is swapped. A caption's score for an image is its
log-probability; the paper's models give a match score, so scores here are not on the paper's scale.
Tags: type (collapsed_tag: Object, Relation, Both), swap (tag), also (secondary_tag), main_preds, group (the item),
image (0 or 1). Licence: Meta's own, research only, gated.

Layout of facebook/winoground's folder `data`, read off its loading script:

    examples.jsonl                  JSON lines {id, image_0, image_1, caption_0, caption_1, tag, secondary_tag,
                                    num_main_preds, collapsed_tag}
    images/<image_0>.png            of images.zip
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.winoground_metric import WinogroundMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly

LAYOUT = "examples.jsonl, images/<image_0>.png"
KEYS = {"id": int, "image_0": str, "image_1": str, "caption_0": str, "caption_1": str, "collapsed_tag": str}
OTHER_TAGS = {"swap": "tag", "also": "secondary_tag", "main_preds": "num_main_preds"}


class Winoground(EvaluationOnly):
    """Winoground's items, two examples each: one image, both captions to choose from.

    Args:
        root: the folder that holds `examples.jsonl` and `images`.
        name: the benchmark's name in the record.
        prompt: what the language model reads before a caption.
    """

    placeholder = None

    def __init__(self, root: str | Path, *, name: str = "winoground", prompt: str = "describe the picture ."):
        super().__init__(root, name=name, prompt=prompt)

    def read(self) -> list[Example]:
        """Return both images of each item, one after the other.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if a line is malformed.
        """
        path = require(
            self.root / "examples.jsonl",
            LAYOUT,
            "Ask for access at facebook/winoground and unpack its images.zip, or set benchmark.root.",
        )
        return [example for line in read_jsonl(path, KEYS) for example in self._both(line)]

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return text, image and group score, by what is swapped and the number of main predicates."""
        return {"choice": WinogroundMetric(by=("type", "main_preds"))}

    def _both(self, line: dict[str, Any]) -> list[Example]:
        captions = (line["caption_0"], line["caption_1"])
        tags = {
            "type": line["collapsed_tag"],
            **{tag: line[key] for tag, key in OTHER_TAGS.items() if line.get(key) is not None},
            "group": str(line["id"]),
        }
        return [
            Example(
                id=f"{line['id']}-{image}",
                images=(under(self.root, "images", f"{line[f'image_{image}']}.png"),),
                prompt=self.prompt,
                answers=(captions[image],),
                kind="choice",
                tags={**tags, "image": str(image)},  # a string: it is no level of difficulty
                choices=captions,
            )
            for image in (0, 1)
        ]
