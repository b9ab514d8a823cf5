"""NLVR, images: is a human-written sentence true of the picture?

Source: Suhr et al. 2017, "A Corpus of Natural Language for Visual Reasoning" (ACL).

Layout, as lil-lab/nlvr publishes it:

    <folder>/<folder>.json          JSON lines {sentence, label, identifier 'n-m', directory, structured_rep}
    <folder>/images/<directory>/<folder>-<n>-<m>-<k>.png      k = 0 … 5, the six orders of the three boxes

Images are 400×100 RGBA: flatten them before use. Sentences come in groups 'n' that were written together.
"""

import itertools
import json
from pathlib import Path
from typing import Any

from bridgelab.benchmark.accuracy import Consistency
from bridgelab.benchmark.example import Example, check_examples, choose, fill, require
from bridgelab.benchmark.metric import ExampleMetric
from bridgelab.benchmark.share import check_share, draw_share
from bridgelab.world.words import COLUMNS, ROWS

LAYOUT = (
    "<folder>/<folder>.json, <folder>/images/<directory>/<folder>-<identifier>-<k>.png, folders dev and test"
)
ORDERS = tuple(itertools.permutations(range(3)))  # image k shows structured_rep's boxes in the k-th order
BOX = 100  # side of a box in pixels
SIZES = {10: "small", 20: "medium", 30: "large"}
COLORS = {"#0099ff": "blue", "black": "black", "yellow": "yellow"}
PLACES = ("left", "middle", "right")


class Nlvr:
    """NLVR's sentences, each with six images, which share a group with all sentences written together.

    Args:
        root: the folder that holds the folders `dev` and `test`.
        name: what the run record calls this benchmark.
        prompt: what the language model reads; `{sentence}` stands for the sentence.
        train_folder: the folder that is trained on, less what is held out of it as val.
        val_share: which share of its sentences is held out, each with all its groups.
        seed: of the choice of these groups.
    Raises:
        ValueError: if the prompt lacks its placeholder, or `val_share` is not between 0 and 1.
    """

    splits = ("train", "val", "test")
    kinds = ("true_false",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nlvr",
        prompt: str = "{sentence}",
        train_folder: str = "dev",
        val_share: float = 0.15,
        seed: int = 0,
    ):
        fill(prompt, "sentence", "")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.train_folder = train_folder
        self.val_share = check_share(val_share, "val_share")
        self.seed = seed

    def examples(self, split: str, kind: str = "true_false") -> list[Example]:
        """All examples of a split: each sentence six times, once for each order of its boxes.

        Raises:
            FileNotFoundError: if the folder or its file is missing.
            ValueError: if there is no such split or kind, or a line is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        folder = "test" if split == "test" else self.train_folder
        path = require(
            self.root / folder / f"{folder}.json",
            LAYOUT,
            "Get the data from github.com/lil-lab/nlvr, or set benchmark.root to where they are.",
        )
        lines = self._lines(path)
        if split != "test":
            held_out = self._held_out(lines)
            lines = [line for line in lines if (_group(line) in held_out) == (split == "val")]
        examples = [example for line in lines for example in self._six(folder, line)]
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Accuracy over single images, and consistency: the share of groups in which everything is right."""
        return {"true_false": Consistency(group="group", by=("layout",))}

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        lines = []
        for number, text in enumerate(path.read_text().splitlines(), start=1):
            try:
                line = json.loads(text)
                lacking = {"sentence", "label", "identifier", "directory", "structured_rep"} - line.keys()
                if lacking:
                    raise ValueError(f"lacks {', '.join(sorted(lacking))}")
                if len(line["structured_rep"]) != len(PLACES):
                    raise ValueError(f"{len(line['structured_rep'])} boxes")
                _colors_and_sizes_known(line)
            except (ValueError, AttributeError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is malformed ({error}): each is one JSON object with sentence, "
                    "label, identifier, directory and the three boxes of structured_rep. Get the file again."
                ) from error
            lines.append(line)
        return lines

    def _held_out(self, lines: list[dict[str, Any]]) -> set[str]:
        """Groups of the held-out sentences: groups may share a sentence, so sentences are drawn."""
        sentence = {_group(line): _plain(line["sentence"]) for line in lines}
        chosen = draw_share(sentence.values(), self.val_share, self.seed)
        return {group for group, text in sentence.items() if text in chosen}

    def _six(self, folder: str, line: dict[str, Any]) -> list[Example]:
        boxes = line["structured_rep"]
        images = self.root / folder / "images" / str(line["directory"])
        tower = sum(map(_stacked, itertools.chain(*boxes))) * 2 > sum(map(len, boxes))
        tags = {
            "type": "true_false",
            "group": f"{folder}-{_group(line)}",
            "directory": f"{folder}-{line['directory']}",
            "layout": "tower" if tower else "scatter",
            "objects": sum(map(len, boxes)),
        }
        return [
            Example(
                id=f"{folder}-{line['identifier']}-{k}",
                images=(str(images / f"{folder}-{line['identifier']}-{k}.png"),),
                prompt=fill(self.prompt, "sentence", line["sentence"]),
                answers=(line["label"],),
                kind="true_false",
                tags={**tags, "order": str(k)},  # a name: it makes nothing harder
                words=" . ".join(box_words([boxes[b] for b in order])),
            )
            for k, order in enumerate(ORDERS)
        ]


def box_words(boxes: list[list[dict[str, Any]]]) -> list[str]:
    """One phrase an item, such as 'left large yellow square c07 r13', box by box from left to right.

    Columns and rows say where its middle is in its box, in twentieths, rows from the bottom up as in the
    built-in world. Twentieths don't say whether two items touch: the words are a reference, not a ceiling.
    """
    phrases = []
    for place, box in zip(PLACES, boxes, strict=True):
        for item in box:
            right, up = item["x_loc"] + item["size"] / 2, BOX - item["y_loc"] - item["size"] / 2
            at = [
                cells[min(int(c * len(cells) / BOX), len(cells) - 1)]
                for cells, c in ((COLUMNS, right), (ROWS, up))
            ]
            phrases.append(
                " ".join([place, SIZES[item["size"]], COLORS[item["color"].lower()], item["type"], *at])
            )
    return phrases


def _group(line: dict[str, Any]) -> str:
    return line["identifier"].split("-")[0]


def _plain(sentence: str) -> str:
    """The sentence without what does not set two apart: case, blanks and the full stop."""
    return " ".join(sentence.lower().rstrip(". ").split())


def _stacked(item: dict[str, Any]) -> bool:
    """Whether this is a block of a tower: towers are medium squares in the middle of their box."""
    return item["type"] == "square" and item["size"] == 20 and item["x_loc"] == 40


def _colors_and_sizes_known(line: dict[str, Any]) -> None:
    for item in itertools.chain(*line["structured_rep"]):
        if item["color"].lower() not in COLORS or item["size"] not in SIZES:
            raise ValueError(f"color {item['color']!r} and size {item['size']!r} are not NLVR's")
