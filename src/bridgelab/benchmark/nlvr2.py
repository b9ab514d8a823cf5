"""NLVR2: is a human-written sentence true of a pair of photographs?

Source: Suhr et al. 2019, "A Corpus for Reasoning about Natural Language Grounded in Photographs" (ACL,
arXiv:1811.00491).
Metric: accuracy over pairs, and consistency: the share of sentences that are right for all their pairs.
Tags: type, group (the sentence: the identifier without its pair). Licence: annotations CC-BY-4.0; photographs from the web,
for research only, through the authors' form. Size in pairs: train 86,373, dev 6,982, test1 6,967, test2 6,970.

Layout, as lil-lab/nlvr publishes it in its folder `nlvr2`:

    data/{train,dev,test1,test2}.json, data/{balanced,unbalanced}/…     JSON lines {sentence, label 'True' or
                                                  'False', identifier '<part>-<set>-<pair>-<sentence>'}
    images/<part>/<part>-<set>-<pair>-img{0,1}.png

where train's lines also have `directory`, and its images are in `images/train/<directory>`. (The authors document only
the images' names; the folders are those that other projects' code reads.) Many files are JPEG despite their suffix.
Of photographs downloaded from the web, not obtained from the authors, about one in twenty is gone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy

LAYOUT = "data/{train,dev,test1}.json, images/<part>/<part>-<set>-<pair>-img{0,1}.png"
FILES = MappingProxyType({"train": "train", "val": "dev", "test": "test1"})
_IDENTIFIER = re.compile(r"(train|dev|test1|test2)-(\d+)-(\d+)-(\d+)")


class Nlvr2:
    """NLVR2's sentences, each with up to four pairs of photographs, left then right.

    Args:
        root: the folder that holds `data` and `images`.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{sentence}` stands for the sentence.
        files: each split's file, relative to `data` and without its suffix, such as test2 or balanced/balanced_test1.
    Raises:
        ValueError: if the prompt lacks its placeholder, or there is a split other than train, val and test.
    """

    kinds = ("true_false",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nlvr2",
        prompt: str = "{sentence}",
        files: Mapping[str, str] = FILES,
    ):
        fill(prompt, "sentence", "")
        for split in files:
            choose(split, FILES, "files has the split")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.files = dict(files)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `files` names."""
        return tuple(self.files)

    def examples(self, split: str, kind: str = "true_false") -> list[Example]:
        """Return all examples of a split in the file's order, each with its left and its right image.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if there is no such split or kind, or a line is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        path = require(
            self.root / "data" / f"{self.files[split]}.json",
            LAYOUT,
            "Get the data from github.com/lil-lab/nlvr, or set benchmark.root to its folder nlvr2.",
        )
        lines = read_jsonl(path, {"sentence": str, "label": str, "identifier": str})
        return check_examples([self._example(path, line) for line in lines], str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy and consistency, as the authors' eval/metrics.py computes them."""
        return {"true_false": GroupAccuracy()}

    def _example(self, path: Path, line: dict[str, Any]) -> Example:
        match, label = _IDENTIFIER.fullmatch(line["identifier"]), line["label"].lower()
        if not match or label not in ("true", "false"):
            raise ValueError(
                f"{path}: identifier={line['identifier']!r} and label={line['label']!r} must be as 'dev-12-0-1' and "
                "'True' or 'False'. Get the file again."
            )
        part, image_set, pair, sentence = match.groups()
        folder = ("images", part, *([line["directory"]] if "directory" in line else []))
        return Example(
            id=line["identifier"],
            images=tuple(
                under(self.root, *folder, f"{part}-{image_set}-{pair}-img{side}.png") for side in (0, 1)
            ),
            prompt=fill(self.prompt, "sentence", line["sentence"]),
            answers=(label,),
            kind="true_false",
            tags={"type": "true_false", "group": f"{part}-{image_set}-{sentence}"},
        )
