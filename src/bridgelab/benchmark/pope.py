"""POPE: does a model see objects that are not there? Evaluation only.

Source: Li et al. 2023, "Evaluating Object Hallucination in Large Vision-Language Models" (EMNLP,
arXiv:2305.10355).
Metric: `PopeMetric`, with the official parse of free text: accuracy, precision, recall, F1, yes ratio, by setting.
Tags: type and setting (how absent objects were drawn: random, popular, adversarial).
Licence: MIT, photographs of COCO val2014. Size: half of the answers are yes, and the questions with that answer are the
same in all settings.

Layout, as AoiDragon/POPE has it in its folder `output/coco`:

    coco_pope_{random,popular,adversarial}.json     JSON lines {question_id, image, text, label 'yes' or 'no'}
"""

from pathlib import Path
from typing import Any

from bridgelab.benchmark.annotations import read_jsonl, require, under
from bridgelab.benchmark.example import Example, fill
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.metrics.pope_metric import PopeMetric
from bridgelab.benchmark.readers.evaluation_only import EvaluationOnly

LAYOUT = "<questions>/coco_pope_{random,popular,adversarial}.json, <images>/COCO_val2014_<number>.jpg"
SETTINGS = ("random", "popular", "adversarial")


class Pope(EvaluationOnly):
    """POPE's questions in all three settings.

    Args:
        root: the folder that `questions` and `images` are relative to.
        name: the benchmark's name in the record.
        prompt: what the language model reads; `{question}` stands for the question.
        questions: the folder of the three files.
        images: the folder of COCO's val2014.
    Raises:
        ValueError: if the prompt lacks its placeholder.
    """

    kinds = ("answer",)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "pope",
        prompt: str = "{question}",
        questions: str = "pope",
        images: str = "val2014",
    ):
        super().__init__(root, name=name, prompt=prompt)
        self.questions = self.root / questions
        self.images = self.root / images

    def read(self) -> list[Example]:
        """Return all questions, setting by setting.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a line is malformed.
        """
        examples = []
        for setting in SETTINGS:
            path = require(
                self.questions / f"coco_pope_{setting}.json",
                LAYOUT,
                "Get the files from github.com/AoiDragon/POPE, or set benchmark.root and benchmark.questions.",
            )
            lines = read_jsonl(path, {"question_id": int, "image": str, "text": str, "label": str})
            examples += [self._example(path, setting, line) for line in lines]
        return examples

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return POPE's five values, by setting."""
        return {"answer": PopeMetric(by=("setting",))}

    def _example(self, path: Path, setting: str, line: dict[str, Any]) -> Example:
        if line["label"] not in ("yes", "no"):
            raise ValueError(
                f"{path}, question {line['question_id']}: label={line['label']!r} must be 'yes' or 'no'. "
                "Get the file again."
            )
        return Example(
            id=f"{setting}-{line['question_id']}",
            images=(under(self.images, line["image"]),),
            prompt=fill(self.prompt, "question", line["text"]),
            answers=(line["label"],),
            kind="answer",
            tags={"type": "exist", "setting": setting},
        )
