"""CLEVR-Math: how many objects are left, or are there, after some are removed from or added to a scene of CLEVR?

Source: Lindström and Abraham 2022, "CLEVR-Math" (NeSy, arXiv:2208.05358).
Metric: accuracy by template, as in the paper. Tags: type, the template that a question was made from: addition,
subtraction, adversarial, subtraction-multihop, ….
Licence: CC-BY-SA-4.0; CLEVR's images CC-BY-4.0.

Layout, read from dali-does/clevr-math's clevr-math-loader.py (fd76ea843d2e):

    <questions>/clevr-math-{train,val,test}.json    of clevr-math.zip, or of clevr-math-multihop.zip, where only the test
                    has multihop questions: {questions: [{split, image_filename, template_filename, question, answer}]}
    <images>/<split>/<image_filename>               of CLEVR_v1.0.zip (train, val) and clevr-math-test-images.zip (test)
"""

from pathlib import Path

from bridgelab.benchmark.annotations import read_list, require, under
from bridgelab.benchmark.clevr import answer_text
from bridgelab.benchmark.example import Example, fill
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import ExampleMetric
from bridgelab.benchmark.readers.published_questions import Entry, PublishedQuestions

LAYOUT = "<questions>/clevr-math-{train,val,test}.json, <images>/{train,val,test}/<image_filename>"


class ClevrMath(PublishedQuestions):
    """CLEVR-Math's questions, whose answers are numbers.

    Args (the others are those of `PublishedQuestions`):
        root: the folder that the next two are relative to.
        questions: the folder of the three files.
        images: the folder of the images' folders.
    """

    needs = "split, image_filename, template_filename, question and answer"

    def __init__(
        self,
        root: str | Path,
        *,
        train: str | None = "train",
        val: str | None = "val",
        test: str | None = "test",
        val_share: float = 0.05,
        seed: int = 0,
        questions: str = ".",
        images: str = "CLEVR_v1.0/images",
        name: str = "clevr_math",
        prompt: str = "{question}",
    ):
        super().__init__(
            root, name=name, prompt=prompt, train=train, val=val, test=test, val_share=val_share, seed=seed
        )
        self.questions = self.root / questions
        self.images = self.root / images

    def metrics(self) -> dict[str, ExampleMetric]:
        """Return accuracy by template."""
        return {"answer": Accuracy(by=("type",))}

    def read(self, part: str) -> tuple[Path, list[Entry]]:
        """Return the file of a part, and its entries."""
        path = require(
            self.questions / f"clevr-math-{part}.json",
            LAYOUT,
            "Get clevr-math.zip from the hub's dali-does/clevr-math, or set benchmark.root and benchmark.questions.",
        )
        return path, read_list(path, "questions")

    def image(self, part: str, entry: Entry) -> str:
        """Return the absolute path of an entry's image."""
        return under(self.images, entry["split"], entry["image_filename"])

    def example(self, name: str, image: str, entry: Entry, kind: str) -> Example:
        """Return a question's example."""
        return Example(
            id=name,
            images=(image,),
            prompt=fill(self.prompt, "question", entry["question"]),
            answers=(answer_text(entry["answer"]),),
            kind="answer",
            tags={"type": entry["template_filename"].removesuffix(".json")},
        )
