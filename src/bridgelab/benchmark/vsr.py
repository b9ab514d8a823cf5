"""VSR: is a caption that relates two objects true of a photograph?

Source: Liu et al. 2023, "Visual Spatial Reasoning" (TACL, arXiv:2205.00363).
Metric: accuracy, overall, by relation, and by the authors' group of relations. Tags: type (the group of the relation), relation.
Licence: Apache-2.0, photographs as in COCO 2017.
Size in captions: random 7,680 / 1,097 / 2,195, whose 1,874 test images include 978 of train's, with other captions;
zeroshot 3,489 / 340 / 1,222, split by the related objects.

Layout of cambridgeltl/visual-spatial-reasoning's folder `data`:

    splits/<variant>/{train,dev,test}.jsonl     JSON lines {image, caption, label 0 or 1, relation}
    images/<image>                              all files of COCO's train2017.zip and val2017.zip in this one folder
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import TRUE_FALSE, Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric

LAYOUT = "splits/<variant>/{train,dev,test}.jsonl, images/<image>"
VARIANTS = ("random", "zeroshot")
FILES = {"train": "train", "val": "dev", "test": "test"}
# The authors' rel_meta_category_dict.txt. It lists 'among' in two groups, of which the last counts, and 'congruent' in none.
GROUPS = {
    "adjacency": "adjacent to, alongside, at the side of, at the right side of, at the left side of, attached to, "
    "at the back of, ahead of, against, at the edge of",
    "directional": "off, past, toward, down, deep down, up, away from, along, around, from, into, to, across, "
    "across from, through, down from",
    "orientation": "facing, facing away from, parallel to, perpendicular to",
    "projective": "on top of, beneath, beside, behind, left of, right of, under, in front of, below, above, over, "
    "in the middle of",
    "proximity": "by, close to, near, far from, far away from",
    "topological": "connected to, detached from, has as a part, part of, contains, within, at, on, in, with, "
    "surrounding, consists of, out of, between, inside, outside, touching",
    "unallocated": "beyond, next to, opposite to, after, among, enclosed by",
}
GROUP_OF = {relation: group for group, relations in GROUPS.items() for relation in relations.split(", ")}


class Vsr:
    """VSR's captions, each true or false of one photograph.

    Args:
        root: the folder that holds `splits` and `images`.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{caption}` stands for the caption.
        variant: `random`, or `zeroshot`, whose splits share no pair of objects.
    Raises:
        ValueError: if the prompt lacks its placeholder, or there is no such variant.
    """

    splits = tuple(FILES)
    kinds = ("true_false",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "vsr",
        prompt: str = "{caption}",
        variant: str = "random",
    ):
        fill(prompt, "caption", "")
        self.variant = choose(variant, VARIANTS, "variant")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt

    def examples(self, split: str, kind: str = "true_false") -> list[Example]:
        """Return all examples of a split in the file's order.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if there is no such split or kind, or a line is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        path = require(
            self.root / "splits" / self.variant / f"{FILES[split]}.jsonl",
            LAYOUT,
            "Get the data from github.com/cambridgeltl/visual-spatial-reasoning, and unpack COCO's train2017.zip and val2017.zip "
            "into images, all files in that one folder; or set benchmark.root.",
        )
        lines = read_jsonl(path, {"image": str, "caption": str, "label": int, "relation": str})
        examples = [self._example(split, number, line) for number, line in enumerate(lines)]
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy, by relation and group of relations."""
        return {"true_false": Accuracy(by=("type", "relation"))}

    def _example(self, split: str, number: int, line: dict[str, Any]) -> Example:
        if line["label"] not in (0, 1):
            raise ValueError(
                f"{self.variant} {split}, caption {number}: label={line['label']!r} must be 0 or 1. Get the file again."
            )
        return Example(
            id=f"{split}-{number}",
            images=(under(self.root, "images", line["image"]),),
            prompt=fill(self.prompt, "caption", line["caption"]),
            answers=(TRUE_FALSE[1 - line["label"]],),
            kind="true_false",
            tags={
                "type": GROUP_OF.get(line["relation"], "without a group"),
                "relation": line["relation"],
            },
        )
