"""easy-VQA: short questions about one coloured shape.

Source: github.com/vzhou842/easy-VQA.
Metric: accuracy, by type of question. Compare every score with what the question alone reaches without the image: .670 on
test, yes_no .825 and the rest .233. Tags: type (yes_no, color, shape), negated (yes or no). Licence: MIT.
Size: 4,000 + 1,000 images of 64×64, 38,575 + 9,673 questions.

Layout, as published in the folder `easy_vqa/data`:

    answers.txt                         all answers, one per line
    {train,test}/questions.json         [[question, answer, image], …]
    {train,test}/images/<image>.png
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import GET_AGAIN, layout_error, read_json, read_text, require
from bridgelab.benchmark.example import Example, check_examples, choose, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.splits import check_share, draw_share

LAYOUT = "answers.txt, {train,test}/questions.json, {train,test}/images/<image>.png"
SHAPES = ("circle", "rectangle", "triangle")


class EasyVqa:
    """easy-VQA's questions.

    Args:
        root: the folder that holds `answers.txt`, `train` and `test`.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
        val_share: share of train's images to hold out, each with all its questions.
        seed: seed of the choice of these images.
    Raises:
        ValueError: if the prompt lacks its placeholder, or `val_share` is not between 0 and 1.
    """

    splits = ("train", "val", "test")
    kinds = ("answer",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "easy_vqa",
        prompt: str = "{question}",
        val_share: float = 0.1,
        seed: int = 0,
    ):
        fill(prompt, "question", "")
        self.val_share = check_share(val_share, "val_share")
        self.root = Path(root).resolve()
        self.name = name
        self.prompt = prompt
        self.seed = seed

    def examples(self, split: str, kind: str = "answer") -> list[Example]:
        """Return all examples of a split in the file's order.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if there is no such split or kind, or a question is malformed.
        """
        choose(split, self.splits, "split")
        choose(kind, self.kinds, "kind")
        folder = "test" if split == "test" else "train"
        fix = "Get the data from github.com/vzhou842/easy-VQA, or set benchmark.root."
        vocabulary = set(read_text(require(self.root / "answers.txt", LAYOUT, fix)).split())
        path = require(self.root / folder / "questions.json", LAYOUT, fix)
        entries = _load(path, vocabulary)
        if split != "test":
            held_out = draw_share((str(image) for _, _, image in entries), self.val_share, self.seed)
        examples = [
            self._example(folder, number, *entry)
            for number, entry in enumerate(entries)
            if split == "test" or (str(entry[2]) in held_out) == (split == "val")
        ]
        return check_examples(examples, str(path))

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy, by type and negation."""
        return {"answer": Accuracy(by=("type", "negated"))}

    def _example(self, folder: str, number: int, question: str, answer: str, image: int) -> Example:
        kind = "yes_no" if answer in ("yes", "no") else "shape" if answer in SHAPES else "color"
        return Example(
            id=f"{folder}-{number}",
            images=(f"{self.root}/{folder}/images/{image}.png",),
            prompt=fill(self.prompt, "question", question),
            answers=(answer,),
            kind="answer",
            tags={"type": kind, "negated": "yes" if {"no", "not"} & set(question.split()) else "no"},
        )


def _load(path: Path, vocabulary: set[str]) -> list[list[Any]]:
    expected = "a list of [question, answer, image], with answers of answers.txt"
    entries = read_json(path, expected)
    if not isinstance(entries, list) or (entries and not isinstance(entries[0], list)):
        raise layout_error(path, entries, expected)
    try:
        for number, entry in enumerate(entries):
            if not (isinstance(entry, list) and [type(value) for value in entry] == [str, str, int]):
                raise ValueError(f"entry {number} is {entry!r}")
            if entry[1] not in vocabulary:
                raise ValueError(f"entry {number} has the answer {entry[1]!r}, which answers.txt lacks")
    except ValueError as error:
        raise ValueError(
            f"{path} can't be read ({error}): it must be JSON with {expected}. {GET_AGAIN}"
        ) from error
    return entries
