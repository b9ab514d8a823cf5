"""Winoground: two pictures and two captions of the same words; which belongs to which? Evaluation only.

Source: Thrush et al. 2022, "Winoground: Probing Vision and Language Models for Visio-Linguistic
Compositionality" (CVPR, arXiv:2204.03162).
Metric: `PairScores`: text, image and group score, by what is swapped. The score of a caption at an image is its
log-probability; the paper's models give a match score, so text and image score can't be read as one ranking.
Prompt: as given, the same for both captions. Tags: type (collapsed_tag: Object, Relation, Both), swap (tag),
also (secondary_tag), main_preds, group (the item), image (0 or 1). Licence: Meta's own, research only, gated.
Size: 400 items, which are 800 images.

Layout, as facebook/winoground has it in its folder `data`, read off its loading script:

    examples.jsonl                  JSON lines {id, image_0, image_1, caption_0, caption_1, tag, secondary_tag,
                                    num_main_preds, collapsed_tag}
    images/<image_0>.png            of images.zip
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_lines
from bridgelab.benchmark.evaluation_only import choose_test
from bridgelab.benchmark.example import Example, check_examples, choose, require, under
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.winoground_metric import PairScores

LAYOUT = "examples.jsonl, images/<image_0>.png"
KEYS = {"id": int, "image_0": str, "image_1": str, "caption_0": str, "caption_1": str, "collapsed_tag": str}
OTHER_TAGS = {"swap": "tag", "also": "secondary_tag", "main_preds": "num_main_preds"}


class Winoground:
    """Winoground's items, two examples each: one image, both captions to choose from.

    Args:
        root: the folder that holds `examples.jsonl` and `images`.
        name: what the run record calls this benchmark.
        prompt: what the language model reads before a caption.
    """

    splits = ("test",)
    kinds = ("choice",)

    def __init__(self, root: str | Path, *, name: str = "winoground", prompt: str = "describe the picture ."):
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt

    def examples(self, split: str, kind: str = "choice") -> list[Example]:
        """Both images of each item, one after the other.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if there is no such split or kind, or a line is malformed.
        """
        choose_test(split, self.name)
        choose(kind, self.kinds, "kind")
        path = require(
            self.root / "examples.jsonl",
            LAYOUT,
            "Ask for access at facebook/winoground and unpack its images.zip, or set benchmark.root.",
        )
        examples = [example for line in read_lines(path, KEYS) for example in self._both(line)]
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Text, image and group score, by what is swapped."""
        return {"choice": PairScores(by=("type", "main_preds"))}

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
                tags={**tags, "image": image},
                choices=captions,
            )
            for image in (0, 1)
        ]
