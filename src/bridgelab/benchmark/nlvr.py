"""NLVR (images): is a human-written sentence true of the picture?

Source: Suhr et al. 2017, "A Corpus of Natural Language for Visual Reasoning" (ACL).
Metric: accuracy over images, and consistency: the share of groups in which everything is right.
Tags: type, layout, group, objects. Licence: CC-BY-4.0.

Layout, as lil-lab/nlvr publishes it:

    <folder>/<folder>.json          JSON lines {sentence, label, identifier 'n-m', directory, structured_rep}
    <folder>/images/<directory>/<folder>-<n>-<m>-<k>.png      k = 0 … 5, the six orders of the three boxes

The test that was hidden until 2022 is hidden/hidden_final.json. Its lines have no `directory`, so images are looked up by
name, and a group may span several directories.
Images are RGBA. Sentences come in groups 'n' that were written together.
"""

import itertools
from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.group_accuracy import GroupAccuracy
from bridgelab.benchmark.splits import check_share, draw_share
from bridgelab.world.words import COLUMNS, ROWS

LAYOUT = (
    "<folder>/<folder>.json, <folder>/images/<directory>/<folder>-<identifier>-<k>.png, folders dev and test"
)
ORDERS = tuple(itertools.permutations(range(3)))  # image k shows structured_rep's boxes in the k-th order
BOX = 100  # a box's side in pixels
SIZES = {10: "small", 20: "medium", 30: "large"}
COLORS = {"#0099ff": "blue", "black": "black", "yellow": "yellow"}
PLACES = ("left", "middle", "right")
Line = dict[str, Any]


class Nlvr:
    """NLVR's sentences with six images each. Sentences written together share a group.

    Args:
        root: the folder that holds the folders `dev` and `test`.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{sentence}` stands for the sentence.
        train_folder: the folder to train on, less what is held out as val.
        test_folder: the folder to compare bridges on: test, or hidden.
        val_share: share of train's directories to hold out, as the authors request. Lines with a sentence or a scene (in
            any order of its boxes) of a held-out directory are left out of train.
        seed: seed of the choice of these directories.
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
        test_folder: str = "test",
        val_share: float = 0.15,
        seed: int = 0,
    ):
        fill(prompt, "sentence", "")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.train_folder = train_folder
        self.test_folder = test_folder
        self.val_share = check_share(val_share, "val_share")
        self.seed = seed

    def examples(self, split: str, kind: str = "true_false") -> list[Example]:
        """Return all examples of a split: each sentence six times, once for each order of its boxes.

        Raises:
            FileNotFoundError: if the folder or its file is missing.
            ValueError: if there is no such split or kind, or a line is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        folder = self.test_folder if split == "test" else self.train_folder
        candidates = [self.root / folder / f"{folder}{suffix}.json" for suffix in ("", "_final")]
        path = require(
            next((candidate for candidate in candidates if candidate.exists()), candidates[0]),
            LAYOUT,
            "Get the data from github.com/lil-lab/nlvr, or set benchmark.root to their folder.",
        )
        keys = {"sentence": str, "label": str, "identifier": str, "structured_rep": list}
        lines = read_jsonl(path, keys, _check)
        if split != "test":
            lines = self._hold_out(path, lines)[split]
        directory_of: dict[str, str] = {}
        if not all("directory" in line for line in lines):
            images = (path.parent / "images").glob("*/*.png")
            directory_of = {image.name: image.parent.name for image in images}
        examples = [example for line in lines for example in self._six(folder, line, directory_of)]
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy over images, and consistency: the share of groups in which everything is right."""
        return {"true_false": GroupAccuracy(by=("layout",))}

    def _hold_out(self, path: Path, lines: list[Line]) -> dict[str, list[Line]]:
        """Return train and val: whole directories are held out, and train keeps none of their sentences or scenes."""
        directories = {str(line.get("directory")) for line in lines}
        if len(directories) < 2:
            raise ValueError(
                f"{path} names {len(directories)} directory: at least 2 are needed, to hold one out as val. Get the complete "
                "folder, or set benchmark.train_folder to train or dev."
            )
        held_out = draw_share(directories, self.val_share, self.seed)
        val = [line for line in lines if str(line["directory"]) in held_out]
        excluded = {_normalized(line["sentence"]) for line in val} | {_scene_key(line) for line in val}
        train = [
            line
            for line in lines
            if str(line["directory"]) not in held_out
            and excluded.isdisjoint((_normalized(line["sentence"]), _scene_key(line)))
        ]
        return {"val": val, "train": train}

    def _six(self, folder: str, line: Line, directory_of: dict[str, str]) -> list[Example]:
        """Return one example for each order of a line's boxes."""
        boxes = line["structured_rep"]
        names = [f"{folder}-{line['identifier']}-{k}.png" for k in range(len(ORDERS))]
        directories = [str(line.get("directory", directory_of.get(name, "0"))) for name in names]
        tower = sum(map(_is_stacked, itertools.chain(*boxes))) * 2 > sum(map(len, boxes))
        tags = {
            "type": "true_false",
            "group": f"{folder}-{_group(line)}",
            "directory": f"{folder}-{directories[0]}",
            "layout": "tower" if tower else "scatter",
            "objects": sum(map(len, boxes)),
        }
        return [
            Example(
                id=f"{folder}-{line['identifier']}-{k}",
                images=(under(self.root, folder, "images", directories[k], name),),
                prompt=fill(self.prompt, "sentence", line["sentence"]),
                answers=(line["label"],),
                kind="true_false",
                tags={**tags, "order": str(k)},  # a string: it is no level of difficulty
                words=" . ".join(box_phrases([boxes[b] for b in order])),
            )
            for k, (order, name) in enumerate(zip(ORDERS, names, strict=True))
        ]


def box_phrases(boxes: list[list[dict[str, Any]]]) -> list[str]:
    """Return one phrase per item, such as 'left large yellow square c07 r13', box by box from left to right.

    Column and row give the item's centre in twentieths of its box, rows from the bottom up, as in the built-in world.
    Twentieths do not tell whether two items touch, so the words are a reference, not a ceiling.
    """
    phrases = []
    for place, box in zip(PLACES, boxes, strict=True):
        for item in box:
            x, y = item["x_loc"] + item["size"] / 2, BOX - item["y_loc"] - item["size"] / 2
            cell = [
                cells[min(int(c * len(cells) / BOX), len(cells) - 1)]
                for cells, c in ((COLUMNS, x), (ROWS, y))
            ]
            phrases.append(
                " ".join([place, SIZES[item["size"]], COLORS[item["color"].lower()], item["type"], *cell])
            )
    return phrases


def _group(line: Line) -> str:
    return line["identifier"].split("-")[0]


def _normalized(sentence: str) -> str:
    """Return the sentence in lower case, with single blanks and without its full stop."""
    return " ".join(sentence.lower().rstrip(". ").split())


def _is_stacked(item: dict[str, Any]) -> bool:
    """Return whether an item is a block of a tower: a medium square in the middle of its box."""
    return item["type"] == "square" and item["size"] == 20 and item["x_loc"] == 40


def _scene_key(line: Line) -> str:
    """Return a picture's content, independent of the order of its boxes and of the items in them."""
    boxes = line["structured_rep"]
    return str(
        sorted(sorted(sorted((k, str(v).lower()) for k, v in item.items()) for item in box) for box in boxes)
    )


def _check(line: Line) -> None:
    if len(line["structured_rep"]) != len(PLACES):
        raise ValueError(f"{len(line['structured_rep'])} boxes")
    for item in itertools.chain(*line["structured_rep"]):
        if item["color"].lower() not in COLORS or item["size"] not in SIZES:
            raise ValueError(f"color {item['color']!r} and size {item['size']!r} are not NLVR's")
